"""The gallery shows what people got wrong, chosen by a rule, and adverse examples whose captions are true."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robustdl_lib import data, paths
from robustdl_lib.data.noise import cifar_n
from robustdl_lib.data.raw import Source
from robustdl_lib.studies import gallery

ROOT = paths.data()
REAL = pytest.mark.skipif(not (ROOT / cifar_n.FOLDER).is_dir(), reason="no CIFAR-N: set ROBUSTDL_DATA")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture
def source() -> Source:
    """A stand-in for CIFAR-10: images of one colour, which says whose they are."""
    labels = np.arange(400) % 10
    images = np.broadcast_to((np.arange(400) % 250).astype(np.uint8)[:, None, None, None], (400, 3, 8, 8)).copy()
    pool, test = np.arange(300), np.arange(300, 400)
    return Source(images, labels, pool, test, CLASSES, 255.0, (0.5,) * 3, (0.2,) * 3)


@pytest.fixture
def people(source: Source) -> dict[str, np.ndarray]:
    """Three people who are right but for some labels; "worst" is a wrong one of theirs if there is any."""
    clean = source.labels[source.pool]
    found = {name: clean.copy() for name in gallery.PEOPLE}
    deer = np.flatnonzero(clean == 4)
    found["random2"][deer[:5]] = 7
    for labels in found.values():
        labels[deer[5:7]] = 7
        labels[np.flatnonzero(clean == 3)[:3]] = 5
    found["random1"][np.flatnonzero(clean == 9)[2:4]] = 1
    answers = np.stack(list(found.values()))
    wrong = answers != clean
    worst = np.where(wrong.any(axis=0), answers[wrong.argmax(axis=0), np.arange(len(clean))], clean)
    return {"worst": worst, "aggregate": np.median(answers, axis=0).astype(np.int64), **found}


def test_errors_are_those_of_the_labels(source: Source, people: dict[str, np.ndarray]) -> None:
    rows = gallery.label_errors(source, people)
    names = np.array(CLASSES)
    assert (rows["true"] == names[source.labels[rows["index"]]]).all()
    assert (rows["given"] == names[people["worst"][rows["index"]]]).all()
    assert ((rows["kind"] == "ordinary") == (rows["given"] == rows["true"])).all()
    for _, row in rows.iterrows():
        agreeing = [name for name, labels in people.items() if names[labels[row["index"]]] == row["given"]]
        assert row["sets"].split() == agreeing
        assert row["agree"] == sum(name in gallery.PEOPLE for name in agreeing)


def test_groups_are_horses_slips_and_shared_errors(source: Source, people: dict[str, np.ndarray]) -> None:
    horses, slips, shared = (part for _, part in gallery.label_errors(source, people).groupby("group", sort=False))
    assert list(horses["given"]) == ["horse"] * gallery.ACROSS
    assert list(horses["true"]) == ["deer"] * 3 + ["horse"] * 4
    assert set(slips["agree"]) == {1}
    assert list(zip(slips["true"], slips["given"], strict=True)) == [("deer", "horse"), ("truck", "automobile")]
    assert not set(slips["index"]) & set(horses["index"])
    assert set(shared["agree"]) == {3}
    assert list(shared["true"]) == ["cat", "deer"]  # three such cats, two such deer: the most frequent first
    assert list(shared["index"]) == [3, np.flatnonzero(source.labels == 4)[5]]


def test_made_examples_are_what_their_captions_say(source: Source) -> None:
    partner = Source(
        source.images[::-1].copy(), source.labels, source.pool, source.test, ("bus", "sea", *"abcdefgh"), 255.0, (), ()
    )
    images, rows = gallery.made(source, partner, "another", seed=3)
    assert len(images) == len(rows) == 2 * gallery.ACROSS
    foreign, double = (rows[rows["kind"] == kind] for kind in ("out of distribution", "ambiguous"))
    assert list(foreign["true"][:4]) == ["background", "background", "noise", "noise"]
    assert not set(foreign["true"]) & {"bus", "sea"}  # they are near a class of ours
    assert (foreign["given"] == np.array(CLASSES)[source.labels[foreign["index"]]]).all()
    for place, row in foreign.iloc[4:].iterrows():
        among = partner.images[np.array(partner.classes)[partner.labels] == row["true"]]
        assert (among == images[place]).all(axis=(1, 2, 3)).any()
    for place, row in double.iterrows():
        both = [int(row["index"]), int(row["other_index"])]
        assert row["true"] == " and ".join(CLASSES[source.labels[which]] for which in both)
        assert row["given"] in row["true"].split(" and ")
        shown = {int(images[place][0, 0, 0]), int(images[place][0, 0, -1])}
        assert shown == {int(source.images[which][0, 0, 0]) for which in both}


def test_a_data_set_without_partner_has_backgrounds_and_noise_alone() -> None:
    _, rows = gallery.made(data.load_source("digits"))
    assert set(rows.loc[rows["kind"] == "out of distribution", "true"]) == {"background", "noise"}


def test_drawn_errors_are_wrong_and_the_same_for_a_seed() -> None:
    digits = data.load_source("digits")
    images, rows = gallery.drawn_errors(digits, seed=1)
    wrong = rows["kind"] == "mislabelled"
    assert wrong.sum() == (~wrong).sum() == gallery.ACROSS
    assert ((rows["given"] != rows["true"]) == wrong).all()
    assert (digits.labels[rows["index"]].astype(str) == rows["true"]).all()
    pd.testing.assert_frame_equal(rows, gallery.drawn_errors(digits, seed=1)[1])
    assert not rows.equals(gallery.drawn_errors(digits, seed=2)[1])
    assert np.array_equal(images, digits.images[rows["index"]])


@REAL
def test_real_errors_of_cifar10n(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTDL_DATA", str(Path(ROOT)))
    found = cifar_n.read("cifar10")
    clean = found[cifar_n.CLEAN]
    source = Source(np.empty((0,), np.uint8), clean, np.arange(50_000), np.empty(0, np.int64), CLASSES, 1.0, (), ())
    rows = gallery.label_errors(source, {name: found[key] for name, key in cifar_n.FILES["cifar10"].names.items()})
    assert (rows.groupby("group", sort=False).size() == gallery.ACROSS).all()
    assert list(rows["true"][:3]) == ["deer"] * 3
