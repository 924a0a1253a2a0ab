"""The table of all methods, and claims whose verdicts follow from rows seed by seed."""

import math

import pandas as pd
import pytest
from test_dynamics import rows

from robustdl_lib.config import ConfigError
from robustdl_lib.registry import METHODS
from robustdl_lib.report import overview
from robustdl_lib.report.overview import Claim
from robustdl_lib.studies.sweeps import WORKED_NOISES

ABOVE = Claim("1", "LS above CCE", ("ls", "last"), (("cce", "last"),))


def runs(**last: list[float]) -> pd.DataFrame:
    """Return rows of one epoch: for each method its last test accuracy, a seed a number."""
    parts = []
    for name, values in last.items():
        for seed, value in enumerate(values):
            one = rows((name,), 1).iloc[[0]].assign(run_id=f"{name}{seed}", seed=seed, test_acc=value)
            parts.append(one.assign(p_clean=0.9, p_wrong=0.2))
    return pd.concat(parts, ignore_index=True)


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
    found = overview.judged({"here": runs(cce=cce, ls=ls)}, [ABOVE]).iloc[0]
    assert found["verdict"] == said
    assert found["seeds"] == len(cce)
    assert found["by"] == pytest.approx(100 * (sum(ls) - sum(cce)) / len(cce))


def test_seeds_are_paired_and_not_ranked():
    """Each seed of LS lies above the same seed of CCE, though one lies below another seed of it."""
    assert overview.judged({"here": runs(cce=[0.5, 0.9], ls=[0.6, 0.99])}, [ABOVE])["verdict"].item() == "holds"


def test_below_and_against_several():
    claim = Claim("1", "LS lowest", ("ls", "last"), (("cce", "last"), ("cp", "last")), -1)
    frame = runs(cce=[0.5, 0.69], cp=[0.44, 0.66], ls=[0.3, 0.5])
    found = overview.judged({"here": frame}, [claim]).iloc[0]
    assert found["verdict"] == "holds"
    assert found["by"] == pytest.approx(15.0)  # CCE: 20 and 19, CP: 14 and 16; the nearest mean is 15
    beside = runs(cce=[0.5, 0.69], cp=[0.29, 0.52], ls=[0.3, 0.5])
    assert overview.judged({"here": beside}, [claim])["verdict"].item() == "within the spread"
    mixed = runs(cce=[0.5, 0.69], cp=[0.2, 0.4], ls=[0.3, 0.5])
    assert overview.judged({"here": mixed}, [claim])["verdict"].item() == "does not hold"


def test_what_rows_lack_has_no_run_yet():
    for frame in (runs(cce=[0.5]), runs(ls=[0.5]), runs(cce=[0.5]).iloc[:0]):
        found = overview.judged({"here": frame}, [ABOVE]).iloc[0]
        assert found["verdict"] == "no run yet"
        assert math.isnan(found["by"])
    assert overview.judged({}, [ABOVE])["verdict"].item() == "no run yet"


def test_every_claim_names_methods_and_measurements_that_there_are():
    columns = set(overview.measures(runs(cce=[0.5])).columns)
    for claim in overview.CLAIMS:
        for name, column in (claim.first, *claim.others):
            assert name in METHODS
            assert column in columns
        assert claim.where in ("here", "human", *(noise.partition(":")[0] for noise in WORKED_NOISES))
    assert len({(claim.words, claim.where) for claim in overview.CLAIMS}) == len(overview.CLAIMS)


def test_the_committed_rows_answer_every_claim_that_they_can():
    here = overview.held("figures")
    found = overview.judged({"here": here[here["noise"] != "none"]})
    asked = found[found["verdict"] != "no run yet"]
    assert set(asked["rows"]) == {"here"}
    assert set(found.loc[found["rows"] == "here", "claim"]) - set(asked["claim"]) == {
        "a loss may be unbounded: SCE ends above MAE"  # SCE is of the sweep relatives
    }


def test_traits_say_what_the_lens_finds():
    table = overview.traits(["cce", "mae", "dm", "ls:eps=0.25", "proselflc", "kd"])
    assert list(table["acts on"]) == [*["magnitude"] * 3, *["direction too"] * 3]
    assert list(table["symmetric"]) == ["no", "yes", "-", "no", "no", "no"]
    assert table.loc["ls:eps=0.25", "target"] == "(1 - eps) * q + eps / C"
    assert table.loc["dm", "psi"] == pytest.approx(1 / 3, abs=0.01)
    assert table.loc["kd", "keeps"] == "a trained teacher"


def test_every_memory_has_its_words():
    kept = {entry.facts.memory.__name__ for entry in METHODS.entries.values() if entry.facts.memory}
    assert kept == set(overview.KEPT)


def test_outcomes_rank_by_the_last_epoch():
    table = overview.outcomes(runs(cce=[0.5, 0.7], ls=[0.8, 0.9]))
    assert list(table.index) == ["ls", "cce"]
    assert list(table.columns) == list(overview.OUTCOMES)
    assert table.loc["cce", "last"] == pytest.approx(60.0)
    assert table.loc["cce", "sd"] == pytest.approx(100 * 0.1 * 2**0.5)


def test_held_trains_nothing_and_refuses_a_bad_setting():
    assert not len(overview.held("figures", "smoke", shelf="runs"))
    with pytest.raises(ConfigError):
        overview.held("figures", "quik")
