"""Adverse examples: images of no class and of two, as often as asked, and nothing else is touched."""

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from helpers.cases import one_sentence

from robustdl_lib import noise, paths
from robustdl_lib.data import cifar
from robustdl_lib.data.noise import corrupted_images
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import DATASETS, NOISES, SpecError

COUNT = 3000
SPECS = [
    *("ood:rate=0.2", "ood:rate=0.2,kind=background", "ood:rate=0.2,kind=noise"),
    *("ambiguous:rate=0.2", "ambiguous:rate=0.2,how=blend", "adverse", "adverse:missing=0.2,ood=0.3,wrong=0.1"),
]
ROOT = paths.data()
REAL = pytest.mark.skipif(not (ROOT / "cifar-100-python").is_dir(), reason="no CIFAR-100: set ROBUSTDL_DATA")


def pictures(count: int = COUNT, seed: int = 0, channels: int = 3, size: int = 16, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, (count, channels, size, size), dtype=np.uint8)


IMAGES, CLEAN, OTHERS = pictures(), np.arange(COUNT) % 10, pictures(900, seed=1)


def mixed(spec: str, seed: int = 0, **changes: Any) -> corrupted_images.Mixed:
    parsed = NOISES.parse(spec)
    context = {"images": IMAGES, "clean": CLEAN, "others": OTHERS, "num_classes": 10, **changes}
    return parsed.entry.function(**context, **parsed.knobs, rng=np.random.default_rng(seed))


def shares(found: corrupted_images.Mixed) -> dict[str, float]:
    wrong = (found.labels != found.clean) & (found.labels >= 0) & (found.kind == 0)
    cases = {"ood": found.kind == 1, "ambiguous": found.kind == 2, "wrong": wrong, "missing": found.labels < 0}
    return {name: case.mean() for name, case in cases.items()}


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_returned_agrees_with_itself(spec: str) -> None:
    found = mixed(spec)
    assert found.labels.dtype == found.clean.dtype == np.int64
    assert found.kind.dtype == found.images.dtype == np.uint8
    assert (np.diff(found.rows) > 0).all()
    assert found.images.shape == (len(found.rows), *IMAGES.shape[1:])
    np.testing.assert_array_equal(found.rows, np.flatnonzero(found.kind))
    assert ((found.clean == -1) == (found.kind == 1)).all()
    ordinary, double = found.kind == 0, found.kind == 2
    assert (found.clean[ordinary] == CLEAN[ordinary]).all()
    assert (found.labels[found.kind == 1] == CLEAN[found.kind == 1]).all()
    assert (found.labels[double] == found.clean[double]).all()
    assert -1 <= found.labels.min() <= found.labels.max() <= 9


@pytest.mark.parametrize("spec", SPECS)
def test_every_case_is_as_frequent_as_asked(spec: str) -> None:
    """Within 3.5 standard errors: four cases and seven specs are looked at."""
    values = NOISES.parse(spec).values
    name = NOISES.parse(spec).name
    asked = values if name == "adverse" else {name: values["rate"]}
    for case, share in shares(mixed(spec)).items():
        rate = asked.get(case, 0.0)
        assert abs(share - rate) <= 3.5 * math.sqrt(rate * (1 - rate) / COUNT)


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_seed_gives_the_same_and_the_input_is_not_changed(spec: str) -> None:
    before, labels = IMAGES.copy(), CLEAN.copy()
    one, same, other = mixed(spec), mixed(spec), mixed(spec, seed=1)
    assert all(np.array_equal(getattr(one, name), getattr(same, name)) for name in one.__dataclass_fields__)
    assert not np.array_equal(one.rows, other.rows)
    assert (before == IMAGES).all()
    assert (labels == CLEAN).all()


def test_a_draw_is_pinned_so_that_it_is_the_same_on_every_machine() -> None:
    digests = {}
    for spec in PINNED:
        found = mixed(spec)
        parts = [found.labels.astype("<i8"), found.clean.astype("<i8"), found.kind, found.images]
        digests[spec] = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]
    assert digests == PINNED


PINNED = {
    "ood:rate=0.2": "fe014a750d8c419b",
    "ood:rate=0.2,kind=background": "3b6bef7c63456a2a",
    "ood:rate=0.2,kind=noise": "8fac691c6b5b2018",
    "ambiguous:rate=0.2": "97219b2ccd9d07e5",
    "ambiguous:rate=0.2,how=blend": "10f6efda97e32f42",
    "adverse": "4ce7304d529e0b0f",
}


def test_other_images_come_from_the_partner_and_none_twice() -> None:
    found = mixed("ood:rate=0.2")
    pool = {image.tobytes() for image in OTHERS}
    taken = [image.tobytes() for image in found.images]
    assert len(set(taken)) == len(taken) <= len(OTHERS)
    assert set(taken) <= pool
    again = mixed("ood:rate=1", others=OTHERS[:7])  # fewer than are needed: every one as often
    assert len({image.tobytes() for image in again.images}) == 7


def test_halves_show_two_classes_and_blends_their_mean() -> None:
    """Images of one value a class make visible whose half is whose."""
    images = np.broadcast_to((20 * CLEAN)[:, None, None, None], IMAGES.shape).astype(np.uint8)
    halves, blend = (mixed(f"ambiguous:rate=0.3,how={how}", images=images) for how in ("halves", "blend"))
    left, right = halves.images[:, 0, 0, 0] // 20, halves.images[:, 0, 0, -1] // 20
    named, own = halves.labels[halves.rows], CLEAN[halves.rows]
    assert (left != right).all()
    assert ((named == left) | (named == right)).all()
    assert ((own == left) | (own == right)).all()
    for share in ((named == left).mean(), (own == left).mean(), (named == own).mean()):
        assert share == pytest.approx(0.5, abs=0.07)
    assert (halves.images[..., :8] == 20 * left[:, None, None, None]).all()
    assert (halves.images[..., 8:] == 20 * right[:, None, None, None]).all()
    assert (blend.images[:, 0, 0, 0] == 10 * (left + right)).all()


def test_the_other_class_is_any_of_the_others_as_often() -> None:
    rows = np.repeat(np.arange(10), 2000)
    clean = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 5, 4, 3, 2, 1])
    order = np.random.default_rng(0).permutation(30)
    clean = clean[order]
    partners = corrupted_images._of_another_class(clean, rows, np.random.default_rng(0))
    assert (clean[partners] != clean[rows]).all()
    for row in range(10):
        counts = np.bincount(partners[rows == row], minlength=30)[clean != clean[row]]
        assert abs(counts - counts.mean()).max() < 5 * math.sqrt(counts.mean())


def test_a_background_is_the_plainest_corner_enlarged() -> None:
    images = pictures(4)
    for index, (rows, columns) in enumerate([(slice(6), slice(6)), (slice(6), slice(-6, None))]):
        images[index, :, rows, columns] = 40 + index
    found = corrupted_images.backgrounds(images)
    assert (found[0] == 40).all()
    assert (found[1] == 41).all()
    assert found[2].std() < images[2].std()
    slope = np.broadcast_to(np.arange(16, dtype=np.uint8) * 10, (1, 3, 16, 16))
    line = corrupted_images.backgrounds(np.ascontiguousarray(slope))[0, 0, 0].astype(int)
    assert line[0] == 0 or line[0] == 100
    assert line[-1] - line[0] == 50
    assert (np.diff(line) >= 0).all()


def test_noise_images_have_the_mean_and_the_spread_of_the_data() -> None:
    images = np.clip(pictures(500, top=100) // 2 + np.array([20, 60, 100])[:, None, None], 0, 255).astype(np.uint8)
    found = corrupted_images.noise_images(images, 2000, np.random.default_rng(0)).astype(float)
    own = images.astype(float)
    np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), own.mean(axis=(0, 2, 3)), atol=0.5)
    np.testing.assert_allclose(found.std(axis=(0, 2, 3)), own.std(axis=(0, 2, 3)), rtol=0.05)
    assert (found.max(axis=(0, 2, 3)) <= own.max(axis=(0, 2, 3))).all()
    flat = corrupted_images.noise_images(np.full((3, 1, 4, 4), 9, np.uint8), 5, np.random.default_rng(0))
    assert (flat == 9).all()


@pytest.mark.parametrize("spec", SPECS[1:])
def test_digits_keep_their_size_and_range(spec: str) -> None:
    source = DATASETS["digits"]()
    found = mixed(spec, images=source.images, clean=source.labels, others=None)
    assert found.images.shape[1:] == (1, 8, 8)
    assert found.images.max() <= 16
    assert len(found.rows)


def test_a_data_set_without_a_partner_is_refused_and_has_other_ways() -> None:
    with pytest.raises(SpecError) as caught:
        mixed("ood:rate=0.2", others=None)
    one_sentence(caught.value, "no partner", "kind=background", "kind=noise")
    found = mixed("adverse:ood=0.4,ambiguous=0", others=None)
    assert shares(found)["ood"] == pytest.approx(0.4, abs=0.03)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="other images") as caught:
        mixed("ood:rate=0.2", others=pictures(5, size=8))
    one_sentence(caught.value, "(3, 16, 16)", "(3, 8, 8)")


@pytest.mark.parametrize("spec", ["ood:rate=1.1", "ambiguous:rate=-0.1", "ood:kind=fog", "ambiguous:how=third"])
def test_what_cannot_be_is_refused(spec: str) -> None:
    with pytest.raises(SpecError) as caught:
        NOISES.parse(spec)
    one_sentence(caught.value)


def test_chances_above_one_and_a_single_class_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        mixed("adverse:wrong=0.5,ood=0.3,ambiguous=0.3")
    one_sentence(caught.value, "at most 1", "1.1")
    with pytest.raises(SpecError) as caught:
        mixed("ambiguous:rate=0.5", clean=np.zeros(COUNT, np.int64))
    one_sentence(caught.value, "two classes")


def test_all_and_nothing_can_be_asked_for() -> None:
    assert len(mixed("ood:rate=1").rows) == COUNT
    assert len(mixed("adverse:wrong=0,ood=0,ambiguous=0").rows) == 0
    assert shares(mixed("adverse:wrong=0.25,ood=0.25,ambiguous=0.25,missing=0.25"))["wrong"] > 0.2
    empty = mixed("adverse", images=IMAGES[:0], clean=CLEAN[:0])
    assert len(empty.labels) == 0


def test_labels_alone_cannot_carry_this_noise() -> None:
    with pytest.raises(SpecError) as caught:
        noise.corrupt(CLEAN, "ood:rate=0.2", num_classes=10)
    one_sentence(caught.value, "data.load")


@pytest.mark.parametrize(("spec", "wanted"), [("ood", True), ("ood:kind=noise", False), ("adverse", True)])
def test_only_what_uses_other_images_asks_for_them(spec: str, wanted: bool) -> None:
    assert corrupted_images.wants_others(NOISES.parse(spec)) is wanted
    assert not corrupted_images.wants_others(NOISES.parse("ambiguous"))


def test_foreign_images_are_of_the_pool_and_of_no_near_class(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("apple", "wolf", "tank", "rose")
    labels = np.arange(40) % 4

    @DATASETS.register("garden", label="garden", source="this test")
    def garden() -> Source:
        images = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 1, 2, 2))
        return Source(images, labels, np.arange(30), np.arange(30, 40), names, 255.0, (0.5,), (0.5,))

    assert corrupted_images.foreigners("garden")[:, 0, 0, 0].tolist() == list(range(30))
    monkeypatch.setitem(corrupted_images.NEAR, "garden", corrupted_images.NEAR["cifar100"])
    assert set(labels[corrupted_images.foreigners("garden")[:, 0, 0, 0]]) == {0, 3}


@REAL
def test_the_near_classes_exist_in_the_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTDL_DATA", str(ROOT))
    for name, source in (("cifar100", cifar.cifar100()), ("cifar10", cifar.cifar10())):
        assert set(corrupted_images.NEAR[name]) <= set(source.classes)
        each = 50_000 // len(source.classes)
        assert len(corrupted_images.foreigners(name)) == 50_000 - each * len(corrupted_images.NEAR[name])
