"""The claims of notebook 12 are judged seed by seed, against one method or several."""

import math

import pandas as pd
import pytest

from robustdl_lib import summary, sweeps
from robustdl_lib.report import claims

COLUMNS = {"noise": "symmetric:0.4", "dataset": "digits", "model": "resnet20", "epochs": 1, "epoch": 1, "val_acc": 0.5}
SHARES = dict.fromkeys(("clean_acc", "fit_wrong", "corrected", "entropy_clean", "entropy_wrong"), 0.5)

ABOVE = claims.Claim(words="LS above CCE", quantity="last", first="ls", second="cce")


def judged_runs(**last: list[float]) -> pd.DataFrame:
    """Return rows of one epoch: for each method its last test accuracy, a seed a number."""
    plain = {**COLUMNS, **SHARES, "p_clean": 0.9, "p_wrong": 0.2}
    return pd.DataFrame(
        {**plain, "run_id": f"{name}{seed}", "method": name, "seed": seed, "test_acc": value}
        for name, values in last.items()
        for seed, value in enumerate(values)
    )


@pytest.mark.parametrize(
    ("cce", "ls", "said"),
    [
        ([0.5, 0.6, 0.7], [0.6, 0.7, 0.8], "holds"),
        ([0.6, 0.7, 0.8], [0.5, 0.6, 0.7], "does not hold"),
        ([0.5, 0.6, 0.7], [0.6, 0.5, 0.8], "within the spread"),
        ([0.5, 0.6, 0.7], [0.51, 0.61, 0.9], "within the spread"),  # every seed, but by how much they do not agree
        ([0.5], [0.6], "one seed"),
        ([0.6], [0.5], "one seed"),
    ],
)
def test_a_claim_is_judged_by_the_spread_of_its_seeds(cce, ls, said):
    found = claims.judged({"here": judged_runs(cce=cce, ls=ls)}, [ABOVE]).iloc[0]
    assert found["verdict"] == said
    assert found["seeds"] == len(cce)
    assert found["by"] == pytest.approx(100 * (sum(ls) - sum(cce)) / len(cce))


def test_seeds_are_paired_and_not_ranked():
    """Each seed of LS lies above the same seed of CCE, though one lies below another seed of it."""
    assert claims.judged({"here": judged_runs(cce=[0.5, 0.9], ls=[0.6, 0.99])}, [ABOVE])["verdict"].item() == "holds"


def test_below_and_against_several():
    claim = claims.Claim(words="LS lowest", quantity="last", first="cce cp", second="ls")
    frame = judged_runs(cce=[0.5, 0.69], cp=[0.44, 0.66], ls=[0.3, 0.5])
    found = claims.judged({"here": frame}, [claim]).iloc[0]
    assert found["verdict"] == "holds"
    assert found["by"] == pytest.approx(15.0)  # CCE: 20 and 19, CP: 14 and 16; the nearest mean is 15
    beside = judged_runs(cce=[0.5, 0.69], cp=[0.29, 0.52], ls=[0.3, 0.5])
    assert claims.judged({"here": beside}, [claim])["verdict"].item() == "within the spread"
    mixed = judged_runs(cce=[0.5, 0.69], cp=[0.2, 0.4], ls=[0.3, 0.5])
    assert claims.judged({"here": mixed}, [claim])["verdict"].item() == "does not hold"


def test_what_rows_lack_has_no_run_yet():
    for frame in (judged_runs(cce=[0.5]), judged_runs(ls=[0.5]), judged_runs(cce=[0.5]).iloc[:0]):
        found = claims.judged({"here": frame}, [ABOVE]).iloc[0]
        assert found["verdict"] == "no run yet"
        assert math.isnan(found["by"])
    assert claims.judged({}, [ABOVE])["verdict"].item() == "no run yet"


def test_the_committed_rows_answer_every_claim_that_they_can() -> None:
    here = sweeps.held("figures")
    table = claims.judged({"here": here[here["noise"] != "none"]})
    answered = table[table["verdict"] != "no run yet"]
    assert set(answered["rows"]) == {"here"}
    assert set(table.loc[table["rows"] == "here", "claim"]) - set(answered["claim"]) == {
        "A loss may be unbounded: SCE ends above MAE"  # SCE is of the sweep relatives
    }


def test_outcomes_rank_by_the_last_epoch() -> None:
    table = summary.outcomes(judged_runs(cce=[0.5, 0.7], ls=[0.8, 0.9]))
    assert list(table.index) == ["ls", "cce"]
    assert list(table.columns) == list(summary.OUTCOMES)
    assert table.loc["cce", "last"] == pytest.approx(60.0)
    assert table.loc["cce", "sd"] == pytest.approx(100 * 0.1 * 2**0.5)
