"""The data-centric study: what is acted on and how, that the truth only judges, that it goes on where it stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.cases import smoke

from robustdl_lib import data
from robustdl_lib.audit import suspects
from robustdl_lib.registry import FIGURES, STUDIES
from robustdl_lib.runs import studies
from robustdl_lib.studies import data_centric
from robustdl_lib.training import cross_validation

COUNT = 120


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training have few examples, one after the other in this process."""
    load = data.load

    def less(cfg: Any, source: Any = None) -> data.Data:
        whole = load(cfg, source)
        val, test = (cross_validation.take(part, np.arange(10)) for part in (whole.val, whole.test))
        return replace(whole, train=cross_validation.take(whole.train, np.arange(COUNT)), val=val, test=test)

    monkeypatch.setattr(data_centric.data, "load", less)
    monkeypatch.setattr(data_centric, "cpu_count", lambda: 1)


def knowing_look(noise: str = "symmetric:0.4", out_of_sample: bool = False) -> data_centric.Look:
    """Return the look of a learner that knows the true labels."""
    cfg = smoke(noise=noise)
    split = data.load(cfg).train
    probs = np.full((len(split.labels), 10), 0.01)
    probs[np.arange(len(probs)), split.clean_labels.numpy()] = 0.91
    given = suspects.given(probs, split.labels.numpy())
    return data_centric.Look(cfg, 0.5, cross_validation.Watched(given[None], probs), probs if out_of_sample else None)


def test_the_study_has_every_row_that_it_promises(few: None) -> None:
    table = data_centric.data_centric(profile="smoke", seeds=1)
    trained = table[table["part"] == "retraining"]
    assert trained.groupby("approach").size().to_dict() == {
        "both": 4,
        "clean labels": 1,
        "data-centric": 8,
        "model-centric": 4,
        "neither": 2,
    }
    assert trained["test_acc"].between(0, 1).all()
    dropped = trained[trained["action"] == "drop"]
    assert (dropped["examples"] == COUNT - dropped["acted"]).all()
    assert (trained.loc[trained["action"] == "correct", "examples"] == COUNT).all()
    assert trained.loc[trained["action"] == "truth", "wrong"].tolist() == [0.0]
    ranked = table[table["part"] == "ranking"]
    assert ranked.groupby("ranker").size().to_dict() == {
        "confident learning": 2,
        "dynamics cce": 8,
        "dynamics dm": 8,
        "dynamics gce": 8,
    }
    assert not data_centric._steps().exists()


@pytest.mark.parametrize("out_of_sample", [False, True])
@pytest.mark.parametrize("noise", data_centric.NOISE_SPECS)
def test_a_learner_that_knows_the_truth_finds_all_and_mends_all(noise: str, out_of_sample: bool) -> None:
    look = knowing_look(noise, out_of_sample)
    actions = {item.row["action"]: item for item in data_centric.consequences(look)}
    truth = data.load(look.cfg).train
    assert set(actions) == {"drop", "correct"}
    for item in actions.values():
        assert (item.row["precision"], item.row["recall"]) == (1.0, 1.0)
        assert item.row["acted"] == int(truth.mislabelled.sum())
    assert (actions["correct"].labels == truth.clean_labels.numpy()).all()
    assert actions["correct"].keep.all()
    assert (actions["drop"].keep == ~truth.mislabelled.numpy()).all()
    assert (actions["drop"].labels == truth.labels.numpy()).all()
    rows = list(data_centric.judge(look))
    assert rows[0]["auroc"] == 1.0
    assert [row["k"] for row in rows if row["part"] == "curve"][-1] == len(truth.labels)


def test_no_ranking_is_acted_on_by_chance(few: None) -> None:
    look = knowing_look()
    other = data_centric.Look(look.cfg.replace(method="dm"), 0.5, look.watched, None)
    assert other.ranker == "dynamics dm"
    assert list(data_centric.consequences(other)) == []
    robust = data_centric.Look(look.cfg.replace(method="gce"), 0.5, look.watched, None)
    assert {item.cfg.method for item in data_centric.consequences(robust)} == {"gce"}
    assert {item.row["approach"] for item in data_centric.consequences(robust)} == {"both"}


def test_corrections_never_reach_validation_or_test(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(cfg: Any, changed: data.Data) -> pd.DataFrame:
        seen.append(changed)
        return pd.DataFrame({"test_acc": [0.5]})

    monkeypatch.setattr(data_centric, "train", spy)
    cfg = smoke()
    plain = data_centric.data.load(cfg)
    labels = plain.train.clean_labels.numpy()
    keep = np.arange(COUNT) % 2 == 0
    row = data_centric._retrain(data_centric.Retrain(cfg, {"part": "retraining"}, labels, keep))
    assert row == {"part": "retraining", "test_acc": 0.5, "examples": COUNT // 2, "wrong": 0.0}
    assert (seen[0].val.labels == plain.val.labels).all()
    assert (seen[0].test.labels == plain.test.labels).all()
    assert not seen[0].train.mislabelled.any()


def test_a_finished_step_is_not_done_twice_and_a_damaged_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def learn() -> dict[str, Any]:
        calls.append(1)
        return {"test_acc": 0.25, "p_given": np.eye(3)}

    first, again = data_centric._once(b"a", learn), data_centric._once(b"a", learn)
    assert len(calls) == 1
    assert float(first["test_acc"]) == float(again["test_acc"]) == 0.25
    assert (again["p_given"] == np.eye(3)).all()
    data_centric._once(b"b", learn)
    assert len(calls) == 2
    for kept in data_centric._steps().glob("*.npz"):
        kept.write_bytes(kept.read_bytes()[:50])
    data_centric._once(b"a", learn)
    assert len(calls) == 3
    monkeypatch.setattr(data_centric.store, "code_version", lambda: {"git_revision": "another"})
    data_centric._once(b"a", learn)
    assert len(calls) == 4


def test_without_a_cache_it_is_only_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBUSTDL_CACHE", str(tmp_path / "file"))
    assert data_centric._once(b"a", lambda: {"test_acc": 0.5}) == {"test_acc": 0.5}


def test_the_study_and_its_figures_are_registered() -> None:
    assert "data_centric" in STUDIES
    for name in ("suspects_found", "data_and_model"):
        assert FIGURES.entry(name).facts.rows == "study:data_centric"


def test_the_committed_rows_are_whole() -> None:
    table = studies.rows("data_centric")
    trained = table[table["part"] == "retraining"]
    seeds = trained["seed"].nunique()
    assert (trained[trained["noise"] != "none"].groupby(["noise", "seed"]).size() == 9).all()
    assert (trained["noise"] == "none").sum() == seeds
    assert set(table["noise"]) == {*data_centric.NOISE_SPECS, "none"}
