"""Studies of splits: planted copies are what they are said to be, counts are right, and the kept rows agree."""

import io

import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence
from PIL import Image

from robustdl_lib import data, paths, plots
from robustdl_lib.data import near_duplicates
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import FIGURES
from robustdl_lib.runs import studies
from robustdl_lib.studies import splits as split_studies


def stand_in(name="cifar10"):
    """Return 8 training and 5 test images: a copy, a brighter copy, a copy of another class, and two strangers."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 120, (8, 3, 32, 32), dtype=np.uint8)
    test = np.concatenate(
        [train[[3]], train[[5]] + 100, train[[6]], rng.integers(0, 255, (2, 3, 32, 32), dtype=np.uint8)]
    )
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1, 1, 0, 0, 0])
    words = ("baby", "girl", "oak_tree")
    return Source(
        np.concatenate([train, test]), labels, np.arange(8), np.arange(8, 13), words, 255.0, (0.0,) * 3, (1.0,) * 3
    )


@pytest.fixture
def cifar(monkeypatch):
    """Put the stand-in in the place of both data sets of CIFAR."""
    monkeypatch.setattr(split_studies.data, "load_source", stand_in)


@pytest.fixture
def few_tasks(monkeypatch):
    """Leave one planted data set with two splits and one split of the digits, in this process."""
    monkeypatch.setattr(split_studies, "cpu_count", lambda: 1)
    monkeypatch.setattr(split_studies, "PLANTED", {"copies, labels drawn": 0.9})
    monkeypatch.setattr(split_studies, "PLANTED_SPLITS", ("random", "clustered:distance=0.3"))
    monkeypatch.setattr(split_studies, "DIGIT_SPLITS", ("stratified",))


def test_copies_are_near_their_original_and_share_its_label():
    source = split_studies.planted(0.4, seed=1)
    digits = data.load_source("digits")
    assert len(source.labels) == 400 + 200 * 4
    assert not len(source.test)
    originals = {image.tobytes(): label for image, label in zip(digits.images, digits.labels, strict=True)}
    true = np.array([originals[image.tobytes()] for image in source.images[:400]])
    wrong = (source.labels[:400] != true).mean()
    assert abs(wrong - 0.4) < 3 * np.sqrt(0.24 / 400)
    described = near_duplicates.features(source.images)
    which, apart = near_duplicates.nearest(described[400:], described[:400])
    assert (source.labels[400:] == source.labels[which]).all()
    assert apart.max() < split_studies.DISTANCE
    assert apart.min() > 0, "a copy is changed, if slightly"
    assert sorted(np.bincount(which, minlength=400)) == [0] * 200 + [4] * 200
    groups = near_duplicates.clusters(described, split_studies.DISTANCE)
    assert (groups[400:] == groups[which]).all()
    assert source.images.max() <= 16


def test_a_seed_plants_the_same_and_another_seed_others():
    first, again, other = (split_studies.planted(0.9, seed=seed) for seed in (3, 3, 4))
    assert first.images.tobytes() == again.images.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert first.images.tobytes() != other.images.tobytes()


def test_without_wrong_labels_every_label_is_true():
    source, digits = split_studies.planted(0.0, seed=0), data.load_source("digits")
    originals = {image.tobytes(): label for image, label in zip(digits.images, digits.labels, strict=True)}
    assert [originals[image.tobytes()] for image in source.images[:400]] == source.labels[:400].tolist()


def test_labels_by_lot_are_remembered_across_a_random_split_and_not_across_a_clustered_one(few_tasks):
    rows = studies.run("split_scores:seeds=2,epochs=1")
    assert len(rows) == 2 * 2 * (2 + 1)
    assert rows["test_acc"].between(0, 1).all()
    neighbour = rows[(rows["data"] != "digits") & (rows["learner"] == "1-NN")].set_index("cut")
    at_random, clustered = neighbour.loc["random"], neighbour.loc["clustered:distance=0.3"]
    assert at_random["test_acc"].min() > 0.7
    assert at_random["near"].min() > 0.7
    assert at_random["far_acc"].max() < 0.45
    assert clustered["test_acc"].max() < 0.3
    assert clustered["near"].max() == 0
    assert clustered[["test", "distance"]].drop_duplicates().to_numpy().tolist() == [[240, 0.3]]
    network = rows[(rows["data"] != "digits") & (rows["learner"] == "resnet8")]
    assert network["test_acc"].max() < 0.3, "one epoch is too short to learn what only memory can hold"
    assert network["train_acc"].max() < 0.4
    digits = rows[(rows["data"] == "digits") & (rows["learner"] == "1-NN")]
    assert digits["test_acc"].min() > 0.95
    assert set(digits["test"]) == {359}
    assert digits["near"].nunique() == 2, "the seed draws the test set too"


def test_the_border_is_counted_by_distance_and_class(cifar):
    rows = split_studies.border()
    assert rows["data"].unique().tolist() == ["cifar10", "cifar100"]
    first = rows[rows["data"] == "cifar10"].set_index("distance")
    assert first.index.tolist() == list(split_studies.LADDER)
    near = first.loc[0.05]
    assert near[["pairs", "same", "other"]].tolist() == [3, 2, 1]
    assert near["share"] == pytest.approx(3 / 5)
    assert near["near_acc"] == pytest.approx(2 / 3)
    which, _ = near_duplicates.nearest(*np.split(near_duplicates.features(stand_in().images), [8])[::-1])
    right = stand_in().labels[:8][which] == stand_in().labels[8:]
    assert near["far_acc"] == pytest.approx(right[3:].mean())
    assert (first["all_acc"] == right.mean()).all()
    assert first.loc[0.0, "pairs"] >= 2, "a copy to the pixel is at distance 0"


def test_pairs_are_listed_nearest_first_with_the_picture_of_their_images(cifar):
    rows = split_studies.border_pairs()
    first = rows[rows["data"] == "cifar10"]
    assert first["rank"].tolist() == [1, 2, 3, 4, 5]
    assert first["distance"].is_monotonic_increasing
    assert {(0, 3), (1, 5), (2, 6)} == set(zip(first["test_index"][:3], first["train_index"][:3], strict=True))
    crossed = first.set_index("test_index").loc[2]
    assert crossed[["test_class", "train_class"]].tolist() == ["baby", "oak_tree"]
    picture = Image.open(io.BytesIO(rows.attrs["picture"]))
    assert picture.format == "PNG"


@pytest.mark.parametrize("name", ["border", "border_pairs"])
def test_without_cifar_the_border_is_refused_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTDL_DATA", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="cifar-10") as refusal:
        studies.run(name)
    one_sentence(refusal.value)
    assert not list(studies.place("runs", writing=True).glob("*.csv"))


@pytest.mark.parametrize("name", ["split_scores", "border"])
def test_the_committed_rows_are_drawn(name):
    entry = FIGURES.entry(name)
    rows = plots.computed(name)
    assert set(entry.facts.columns) <= set(rows.columns)
    assert FIGURES[name](rows).axes


def test_the_committed_counts_add_up():
    rows = studies.rows("border")
    assert ((rows["same"] + rows["other"]) / 10_000).to_numpy() == pytest.approx(rows["share"].to_numpy())
    together = rows["share"] * rows["near_acc"].fillna(0) + (1 - rows["share"]) * rows["far_acc"]
    assert together.to_numpy() == pytest.approx(rows["all_acc"].to_numpy(), abs=1e-5)
    assert (rows["pairs"] >= rows["same"] + rows["other"]).all()
    assert all(part["share"].is_monotonic_increasing for _, part in rows.groupby("data"))


def test_the_committed_scores_hold_every_task():
    rows = studies.rows("split_scores")
    planted, digits = split_studies.PLANTED, split_studies.DIGIT_SPLITS
    assert len(rows) == 2 * 3 * (len(planted) * len(split_studies.PLANTED_SPLITS) + len(digits))
    clustered = rows[rows["cut"].str.startswith("clustered")]
    assert (clustered["near"] == 0).all()
    assert (clustered["far_acc"] == clustered["test_acc"]).all()
    assert studies.picture("border_pairs").is_file()


@pytest.mark.skipif(
    not (paths.data() / "cifar-100-python").is_dir(), reason="CIFAR is not in the data root (ROBUSTDL_DATA)"
)
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_committed_pairs_are_that_near_in_the_real_images(name):
    rows: pd.DataFrame = studies.rows("border_pairs")
    rows = rows[rows["data"] == name]
    source = data.load_source(name)
    sides = ((source.test, rows["test_index"]), (source.pool, rows["train_index"]))
    test, train = (near_duplicates.features(source.images[part[index]]).astype(float) for part, index in sides)
    np.testing.assert_allclose(np.linalg.norm(test - train, axis=1), rows["distance"], atol=1e-5)
    assert (np.array(source.classes)[source.labels[source.test[rows["test_index"]]]] == rows["test_class"]).all()
