"""Splits keep what they promise: sklearn's own draws, whole clusters on one side, the same on any machine."""

import numpy as np
import pytest
from helpers.cases import one_sentence
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from robustdl_lib import data
from robustdl_lib.data import near_duplicates, splits
from robustdl_lib.registry import SPLITS, SpecError


@pytest.fixture(scope="module")
def digits():
    source = data.load_source("digits")
    return near_duplicates.features(source.images), source.labels


def vectors(count, dimension=12, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, dimension))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def spec_of(name):
    return "clustered:distance=0.3" if name == "clustered" else name


@pytest.mark.parametrize("seed", [0, 1, 77])
def test_stratified_and_random_are_sklearns_to_the_bit(digits, seed):
    _, labels = digits
    rows = np.arange(1797) * 3
    for spec, by in (("stratified", labels), ("random", None)):
        kept, held = train_test_split(rows, test_size=360, random_state=seed, stratify=by)
        ours = splits.cut(spec, rows, labels, 360, seed)
        assert [part.dtype for part in ours] == [np.int64, np.int64]
        np.testing.assert_array_equal(ours[0], np.sort(kept))
        np.testing.assert_array_equal(ours[1], np.sort(held))


@pytest.mark.parametrize("name", list(SPLITS))
def test_every_split_parts_the_rows_increasing_and_by_its_seed(digits, name):
    described, labels = digits
    rows = np.arange(1797) + 5

    def cut(seed):
        return splits.cut(spec_of(name), rows, labels, 180, seed, lambda: described)

    kept, held = cut(0)
    assert len(held) == 180
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), rows)
    assert all((np.diff(part) > 0).all() for part in (kept, held))
    np.testing.assert_array_equal(held, cut(0)[1])
    assert not np.array_equal(held, cut(1)[1])


def test_only_clustered_pays_for_features(digits):
    described, labels = digits
    asked = []

    def features():
        asked.append(1)
        return described

    for name in SPLITS:
        splits.cut(spec_of(name), np.arange(1797), labels, 180, 0, features)
    assert len(asked) == 1
    with pytest.raises(ValueError, match="needs the features") as refusal:
        splits.cut("clustered:distance=0.3", np.arange(1797), labels, 180, 0)
    one_sentence(refusal.value)


@pytest.mark.parametrize("distance", [0.2, 0.3, 0.35, 0.4])
@pytest.mark.parametrize("seed", [0, 3])
def test_no_held_example_lies_within_the_distance_of_a_kept_one(digits, distance, seed):
    described, labels = digits
    kept, held = splits.cut(f"clustered:distance={distance}", np.arange(1797), labels, 360, seed, lambda: described)
    apart, _ = NearestNeighbors(n_neighbors=1).fit(described[kept].astype(float)).kneighbors(described[held])
    assert apart.min() > distance
    assert len(held) == 360
    share = np.bincount(labels) * 360 / 1797
    assert (np.bincount(labels[held], minlength=10) <= 2 * np.ceil(share)).all()


def test_classes_stay_in_proportion_where_clusters_are_small(digits):
    described, labels = digits
    _, held = splits.cut("clustered:distance=0.25", np.arange(1797), labels, 360, 0, lambda: described)
    assert np.abs(np.bincount(labels[held]) - np.bincount(labels) * 360 / 1797).max() < 1


def test_a_distance_that_joins_nearly_all_is_refused_with_one_that_works(digits):
    described, labels = digits
    with pytest.raises(ValueError, match="no clustered split") as refusal:
        splits.cut("clustered:distance=0.6", np.arange(1797), labels, 360, 0, lambda: described)
    words = one_sentence(refusal.value, "360 of 1797", "4 clusters holds 1794", "would do")
    works = words.split("; ")[1].split(" would")[0]
    assert len(splits.cut(f"clustered:{works}", np.arange(1797), labels, 360, 0, lambda: described)[1]) == 360


def test_one_cluster_of_everything_is_refused():
    same = np.repeat(vectors(1), 20, axis=0)
    with pytest.raises(ValueError, match="1 clusters holds 20; random and stratified would do") as refusal:
        splits.cut("clustered:distance=0.1", np.arange(20), np.arange(20) % 2, 4, 0, lambda: same)
    one_sentence(refusal.value)


@given(sizes=st.lists(st.integers(1, 6), min_size=8, max_size=30), share=st.floats(0.1, 0.6), seed=st.integers(0, 99))
def test_clusters_are_never_cut_and_no_single_one_would_bring_the_size_nearer(sizes, share, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    size = max(1, round(share * len(groups)))
    centres = np.eye(len(sizes), dtype=np.float32)[groups]
    rows, labels = np.arange(len(groups)), np.zeros(len(groups), dtype=int)
    try:
        kept, held = splits.cut("clustered:distance=0.5", rows, labels, size, seed, lambda: centres)
    except ValueError as error:
        one_sentence(error, "no clustered split")
        return
    assert not set(groups[kept]) & set(groups[held])
    miss = abs(len(held) - size)
    assert miss <= 0.1 * min(size, len(rows) - size)
    others = [sizes[group] for group in set(groups[kept])]
    room = min(2 * size, size + (len(rows) - size) // 2)
    assert all(abs(len(held) + more - size) >= miss for more in others if len(held) + more <= room)


@pytest.mark.parametrize(("size", "nearest"), [(40, 40), (43, 40), (48, 50)])
def test_the_last_cluster_may_be_one_too_many_where_that_is_nearer(size, nearest):
    groups = np.repeat(np.arange(10), 10)
    centres = np.eye(10, dtype=np.float32)[groups]
    _, held = splits.cut("clustered:distance=0.5", np.arange(100), np.zeros(100), size, 0, lambda: centres)
    assert len(held) == nearest


def test_a_stretch_is_of_neighbours():
    labels = np.arange(50) % 2
    for seed in range(5):
        _, held = splits.cut("stretch", np.arange(50), labels, 7, seed)
        np.testing.assert_array_equal(np.diff(held), 1)
    first = {int(splits.cut("stretch", np.arange(8), labels[:8], 7, seed)[1][0]) for seed in range(20)}
    assert first == {0, 1}


@pytest.mark.parametrize(
    ("spec", "size", "labels", "words"),
    [
        ("random", 0, [0, 1] * 5, ("1 to 9", "found 0")),
        ("random", 10, [0, 1] * 5, ("1 to 9", "found 10")),
        ("random", 2, [0, 1], ("10 rows", "found 2")),
        ("stratified", 2, [0, 1] * 4 + [0, 2], ("2 examples of a class", "3 classes, the smallest of 1")),
        ("stratified", 1, [0, 1] * 5, ("room for each", "2 classes", "1 of 10")),
    ],
)
def test_what_cannot_be_cut_is_refused_in_one_sentence(spec, size, labels, words):
    with pytest.raises(ValueError, match="split") as refusal:
        splits.cut(spec, np.arange(10), np.array(labels), size, 0)
    one_sentence(refusal.value, *words)


@pytest.mark.parametrize(
    "spec", ["clusterd", "clustered", "clustered:distance=0", "clustered:distance=2.1", "random:3"]
)
def test_a_bad_spec_is_refused(spec):
    with pytest.raises(SpecError) as refusal:
        splits.cut(spec, np.arange(10), np.zeros(10), 2, 0)
    one_sentence(refusal.value)


@pytest.mark.parametrize("split", ["clustered:distance=0.3", "stretch", "random"])
def test_a_run_is_cut_as_its_configuration_says(split):
    from helpers.cases import smoke

    loaded = data.load(smoke(split=split, noise="none"))
    parts = [part.rows.numpy() for part in (loaded.train, loaded.val, loaded.test)]
    assert sorted(np.concatenate(parts)) == list(range(1797))
    assert [len(part) for part in parts[1:]] == [180, 359]
    if split.startswith("clustered"):
        described = near_duplicates.features(data.load_source("digits").images)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert near_duplicates.nearest(described[parts[one]], described[parts[other]])[1].min() > 0.3
