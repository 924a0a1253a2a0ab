"""Studies of adverse cases: scores are what they say, ties count half, unseen examples of every kind, kept rows."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cases import smoke

from robustdl_lib import cli, data
from robustdl_lib.data.noise import cifar_n
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import FIGURES, METHODS, NOISES, STUDIES
from robustdl_lib.runs import studies
from robustdl_lib.studies import adverse, gallery
from robustdl_lib.studies.adverse import SCORES

NAMES = ("transitions_cifar10n", "adverse_gallery", "know_the_unknown", "know_the_unknown_cifar10", "missing_labels")
KINDS = {"clean", "mislabelled", "out of distribution", "ambiguous"}
EVERYTHING = "adverse:wrong=0.2,ood=0.1,ambiguous=0.1,missing=0.1"


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    """One epoch on 200 digits of every kind."""
    return adverse.measure(smoke(noise=EVERYTHING, examples=200, epochs=1))


@pytest.fixture
def unseen() -> tuple[data.Data, dict[str, adverse.Unseen]]:
    cfg = smoke(noise=EVERYTHING)
    drawn = data.load(cfg)
    return drawn, {part.kind: part for part in adverse.unseen(cfg, drawn)}


def test_scores_are_what_their_names_say() -> None:
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    judged = adverse.judge(probs.log(), torch.tensor([0, 1, -1]), torch.tensor([0, 2, -1]))
    np.testing.assert_allclose(judged["1 - p_y"], [0.3, 0.75, math.nan])
    np.testing.assert_allclose(judged["1 - max p"], [0.3, 0.5, 2 / 3])
    np.testing.assert_allclose(judged["entropy"], -(probs * probs.log()).sum(1) / math.log(3))
    np.testing.assert_allclose(judged["contradicted"], [0, 1, math.nan])
    np.testing.assert_allclose(judged["right"], [1, 1, math.nan])


def test_almost_sure_examples_keep_their_order() -> None:
    logits = torch.zeros(2, 3)
    logits[:, 0] = torch.tensor([22.0, 24.0])  # 1 - p is 6e-10 and 8e-11: both 0 in float32
    judged = adverse.judge(logits, torch.tensor([0, 0]), torch.tensor([0, 0]))
    for score in ("1 - p_y", "entropy", "1 - max p"):
        assert judged[score][0] > judged[score][1] > 0


def test_ties_count_half() -> None:
    ones = pd.Series([1.0, 1.0])
    assert adverse.separation(ones, ones) == 0.5
    assert adverse.separation(pd.Series([2.0, 1.0]), pd.Series([1.0])) == 0.75
    assert adverse.separation(pd.Series([0.0]), pd.Series([1.0, 2.0])) == 0


@pytest.mark.parametrize(("members", "others"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
def test_what_is_not_there_has_no_auroc(members: list[float], others: list[float]) -> None:
    assert math.isnan(adverse.separation(pd.Series(members), pd.Series(others)))


def test_detection_compares_with_the_clean_ones_alone() -> None:
    scores = {name: [0.1, 0.2, 0.9, 0.0] for name in SCORES}
    table = pd.DataFrame({**scores, "right": [1, 1, 0, np.nan], "kind": ["clean", "clean", "mislabelled", "ambiguous"]})
    found = adverse.detect(table).set_index(["kind", "score"])
    assert (found["auroc"].loc["mislabelled"] == 1).all()
    assert (found["auroc"].loc["ambiguous"] == 0).all()
    assert found["auroc"].loc["clean"].isna().all()
    assert found.loc[("clean", "entropy"), ["mean", "count", "right"]].tolist() == pytest.approx([0.15, 2, 1])
    nobody = adverse.detect(table[table["kind"] != "clean"])
    assert nobody["auroc"].isna().all()


def test_kinds_are_the_noise_s_own() -> None:
    split = data.load(smoke(noise=EVERYTHING)).train
    kinds = adverse.kinds(split)
    assert set(kinds) == KINDS | {"missing"}
    np.testing.assert_array_equal(kinds == "out of distribution", split.kind == 1)
    np.testing.assert_array_equal(kinds == "ambiguous", split.kind == 2)
    np.testing.assert_array_equal(kinds == "missing", split.labels == -1)
    np.testing.assert_array_equal(kinds == "mislabelled", split.mislabelled & (split.kind == 0))


def test_unseen_examples_are_made_from_the_test_images(unseen) -> None:
    drawn, parts = unseen
    images = drawn.test.pixels[drawn.test.rows].numpy()
    assert set(parts) == (KINDS - {"out of distribution"}) | {
        f"out of distribution: {w}" for w in ("background", "noise")
    }
    for kind in ("clean", "mislabelled"):
        np.testing.assert_array_equal(parts[kind].images, images)
        np.testing.assert_array_equal(parts[kind].true, drawn.test.clean_labels)
    assert (parts["clean"].given == parts["clean"].true).all()
    assert (parts["mislabelled"].given != parts["mislabelled"].true).all()
    assert set(parts["mislabelled"].given) == set(range(10))
    left, right = parts["ambiguous"].images[..., :4], parts["ambiguous"].images[..., 4:]
    halves = {half.tobytes() for whole in images for half in (whole[..., :4], whole[..., 4:])}
    assert {half.tobytes() for half in [*left, *right]} <= halves
    assert all((part.true == -1).all() for kind, part in parts.items() if kind.startswith("out of distribution"))


def test_unseen_examples_are_the_same_for_a_noise_seed(unseen) -> None:
    drawn, parts = unseen
    for seed, same in ((0, True), (1, False)):
        again = {part.kind: part for part in adverse.unseen(smoke(noise=EVERYTHING, noise_seed=seed), drawn)}
        for kind in ("mislabelled", "ambiguous"):
            assert np.array_equal(again[kind].given, parts[kind].given) == same


def test_foreign_objects_are_of_the_partner_s_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(40) % 4
    images = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(4, axis=3)
    partner = Source(images, labels, np.arange(20), np.arange(20, 40), ("bus", "bed", "fox", "cup"), 255.0, (), ())
    monkeypatch.setattr(data, "load_source", {"cifar100": partner}.__getitem__)
    found = set(adverse._strangers("cifar10")[:, 0, 0, 0])
    assert found == {row for row in range(20, 40) if labels[row] in (1, 3)}
    assert adverse._strangers("digits") is None


def test_a_measurement_has_a_row_a_kind_and_score(measured: pd.DataFrame) -> None:
    sorts = {"out of distribution: background", "out of distribution: noise"}
    for seen, kinds in (("training", KINDS | {"missing"}), ("held out", KINDS | sorts)):
        part = measured[measured["seen"] == seen]
        assert set(part["kind"]) == kinds
        assert (part.groupby("kind")["score"].apply(list).map(tuple) == SCORES).all()
    known = measured["auroc"].dropna()
    assert known.between(0, 1).all()
    unknown = measured[measured["auroc"].isna()]
    no_label = (unknown["kind"] == "missing") & unknown["score"].isin(["1 - p_y", "contradicted"])
    assert ((unknown["kind"] == "clean") | no_label).all()
    assert measured.loc[measured["seen"] == "training"].groupby("score")["count"].sum().unique() == 200
    assert measured["mean"].dropna().between(0, 1).all()


def test_entropy_cannot_tell_a_wrong_label_of_an_unseen_image(measured: pd.DataFrame) -> None:
    part = measured.query("seen == 'held out' and kind == 'mislabelled'").set_index("score")["auroc"]
    assert part["entropy"] == part["1 - max p"] == 0.5


def test_out_of_distribution_is_the_average_of_its_sorts(measured: pd.DataFrame) -> None:
    """As many of each sort, so the AUROC of all is the mean of theirs."""
    part = measured[measured["seen"] == "held out"].pivot(index="score", columns="kind", values="auroc")
    sorts = [kind for kind in part if kind.startswith("out of distribution:")]
    np.testing.assert_allclose(part["out of distribution"], part[sorts].mean(axis=1))


def test_transitions_name_classes_and_sum_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, images = np.arange(3000) % 3, np.zeros((3000, 1, 2, 2), np.uint8)
    source = Source(images, labels, np.arange(2700), np.arange(2700, 3000), ("b", "a", "c"), 1.0, (0.0,), (1.0,))
    monkeypatch.setattr(data, "load_source", {"cifar10": source}.__getitem__)
    monkeypatch.setattr(
        cifar_n, "read", lambda _: {cifar_n.CLEAN: labels, "worse_label": np.where(labels == 1, 2, labels)}
    )
    monkeypatch.setattr(adverse, "NOISE_SPECS", ("symmetric:0.4", "human:worst"))
    rows = adverse.transitions_cifar10n()
    assert list(rows) == ["spec", "true", "given", "realised"]
    assert rows.groupby(["spec", "true"])["realised"].sum().to_numpy() == pytest.approx(1.0)
    people = rows[rows["spec"] == "human:worst"].set_index(["true", "given"])["realised"]
    assert people["a", "c"] == people["b", "b"] == people["c", "c"] == 1


def test_missing_labels_are_predicted_and_judged_and_threads_are_as_before() -> None:
    torch.set_num_threads(2)
    row = adverse._predicted(smoke(noise="missing:0.8", epochs=1))
    assert row["labelled"] + row["unlabelled"] == 1257
    assert row["unlabelled"] / 1257 == pytest.approx(0.8, abs=0.04)
    assert 0 <= row["right"] <= 1
    assert torch.get_num_threads() == 2


def test_the_gallery_brings_its_picture(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    digits = data.load_source("digits")
    errors = gallery.drawn_errors(digits)[1].assign(agree=1, sets="worst")
    monkeypatch.setattr(data, "load_source", lambda name: digits)
    monkeypatch.setattr(cifar_n, "Rows", lambda *_: {})
    monkeypatch.setattr(gallery, "label_errors", lambda *_: errors)
    rows = studies.run("adverse_gallery")
    drawn = studies.picture("adverse_gallery", "runs")
    assert drawn == tmp_path / "figures" / "runs" / "studies" / "adverse_gallery.png"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert drawn.with_suffix(".csv").read_bytes() == (studies.place("runs") / "adverse_gallery.csv").read_bytes()
    assert len(rows) == 4 * gallery.ACROSS


@pytest.mark.parametrize("name", NAMES)
def test_committed_rows_are_whole_and_say_what_they_rest_on(name: str) -> None:
    entry, rows = STUDIES.entry(name), studies.rows(name)
    assert entry.label
    assert len(rows) > 3
    assert studies.picture("adverse_gallery").is_file()


@pytest.mark.parametrize("name", ["know_the_unknown", "know_the_unknown_cifar10"])
def test_committed_measurements_are_complete(name: str) -> None:
    rows = studies.rows(name)
    assert set(rows["noise"]) == {str(NOISES.parse(adverse.NOISE))}
    assert set(rows["method"]) == {str(METHODS.parse(spec)) for spec in adverse.METHOD_SPECS}
    assert set(rows["kind"]) >= KINDS
    assert rows.loc[rows["kind"] != "clean", "auroc"].notna().all()


@pytest.mark.parametrize("name", ["human_noise", "know_the_unknown", "know_the_unknown_cifar10"])
def test_figures_draw_the_committed_rows(name: str, tmp_path) -> None:
    cli.draw(name, [], tmp_path)
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert FIGURES.entry(name).label
