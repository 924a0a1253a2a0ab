"""Counterparts: rows of the published setting meet their number by themselves, and rows of any other never do."""

import shutil
from typing import Any

import pandas as pd
import pytest
from helpers.paper_runs import CIFAR100, kept

from robustdl_lib import paths
from robustdl_lib.report import comparison, published, verdicts

LAST, BEST = "dm_table_9/symmetric-0.4/cce/last", "dm_table_9/symmetric-0.4/cce/oracle"


def compared() -> pd.DataFrame:
    return comparison.compared(comparison.paper_rows("reference"), comparison.paper_rows("runs")).set_index("id")


def test_without_rows_nothing_is_reproduced_and_nothing_is_left_out() -> None:
    none = comparison.paper_rows("runs")
    found = comparison.compared(none, none)
    numbers = published.read()
    assert found["id"].tolist() == numbers.loc[~numbers["table"].isin(published.EXACT), "id"].tolist()
    assert found["verdict"].value_counts().to_dict() == {verdicts.NO_RUN: 146, verdicts.OTHER: 19}
    assert found["reference"].isna().all()


@pytest.mark.parametrize(("last", "verdict"), [(0.62, verdicts.INSIDE), (0.70, verdicts.OUTSIDE)])
def test_rows_of_the_paper_profile_fill_the_report_by_themselves(last: float, verdict: str) -> None:
    for seed in range(3):
        kept(last, seed=seed, noise_seed=seed)
    row = compared().loc[LAST]
    assert (row["reference"], row["seeds"], row["verdict"]) == (pytest.approx(100 * last), 3, verdict)
    assert row["difference"] == pytest.approx(100 * last - 60.9)
    assert row["tolerance"] == 3.0
    assert "cce, 284 epochs of batches of 128, rate 0.1" in row["note"]
    assert compared().loc[BEST, "verdict"] == verdicts.INSIDE


def test_this_machine_is_compared_by_itself() -> None:
    kept(0.70, shelf="runs")
    row = compared().loc[LAST]
    assert (row["verdict"], row["verdict_here"]) == (verdicts.NO_RUN, verdicts.OUTSIDE)
    assert (row["here"], row["difference"]) == (pytest.approx(70.0), pytest.approx(9.1))


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "digits"},
        {"model": "resnet20"},
        {"noise": "symmetric:0.6"},
        {"noise": "symmetric_all:0.4"},
        {"method": "gce"},
        {"lr": 0.01},
        {"examples": 10_000},
        {"split": "random"},
        {"weight_decay": 0.0},
        {"epochs": 3},
        {"precision": "float32"},
        {"home": "quick"},
    ],
)
def test_rows_of_another_setting_are_no_counterpart(other: dict[str, Any]) -> None:
    kept(0.61, **other)
    assert compared().loc[LAST, "verdict"] == verdicts.NO_RUN


def test_folders_named_after_the_profile_count_too_and_the_rate_is_the_tables() -> None:
    kept(0.61, home="paper_rates", lr=0.01)
    found = compared()
    assert found.loc["dm_table_7/symmetric-0.4/cce/last", "verdict"] == verdicts.INSIDE
    assert found.loc[LAST, "verdict"] == verdicts.NO_RUN


def test_knobs_that_a_paper_does_not_state_are_free_and_the_best_is_taken_and_said() -> None:
    place = "proselflc_tables_4_5/asymmetric_pairs-0.4/ls/last"
    for eps, last in ((0.125, 0.60), (0.25, 0.64), (0.5, 0.62)):
        kept(last, **CIFAR100, method=f"ls:eps={eps}")
    row = compared().loc[place]
    assert row["reference"] == pytest.approx(64.0)
    assert row["note"].startswith("Ours: the best of 3 settings, ls:eps=0.25,")


def test_the_setting_that_ends_best_answers_for_all_that_is_read_of_it() -> None:
    for eps, last, entropy in ((0.25, 0.64, 0.5), (0.5, 0.60, 0.1)):
        kept(last, **CIFAR100, method=f"ls:eps={eps}", entropy_clean=entropy)
    row = compared().loc["proselflc_figure_3/asymmetric_pairs-0.4/ls/entropy_clean"]
    assert row["reference"] == pytest.approx(0.5)
    assert row["note"].startswith("Ours: the best of 2 settings, ls:eps=0.25,")


def test_this_machine_is_judged_by_the_spread_of_its_own_seeds() -> None:
    for seed, last in enumerate((0.40, 0.62, 0.80)):
        kept(last, seed=seed, noise_seed=seed)
    kept(0.70, shelf="runs")
    row = compared().loc[LAST]
    assert row["tolerance"] > 30
    assert (row["verdict"], row["verdict_here"]) == (verdicts.INSIDE, verdicts.OUTSIDE)


@pytest.mark.parametrize(
    ("stated", "spec", "fits"),
    [
        ("ls", "ls:eps=0.5", True),
        ("dm:lam=0.5", "dm:beta=8", True),
        ("dm:lam=0.5", "dm:beta=8,lam=1", False),
        ("dm:beta=16,lam=1", "dm:beta=12,lam=1", False),
        ("dm:beta=0", "dm:beta=0,lam=2", True),
        ("gce:q=0.7", "gce", True),
        ("gce:q=0.7", "gce:q=0.5", False),
        ("boot_soft", "boot_soft:eps=0.25,detach=True", False),
        ("proselflc", "proselflc:B=16", True),
        ("cce", "mae", False),
    ],
)
def test_a_spec_is_what_a_paper_states(stated: str, spec: str, fits: bool) -> None:
    assert comparison._fits(stated, spec) is fits


def test_fits_of_all_labels_come_from_the_two_subsets() -> None:
    kept(0.61)
    found = compared()
    assert found.loc["dm_fits/symmetric-0.4/cce/fit_given", "reference"] == pytest.approx(100 * (0.6 * 0.9 + 0.4 * 0.7))
    assert found.loc["dm_fits/symmetric-0.4/cce/fit_true", "reference"] == pytest.approx(100 * (0.6 * 0.9 + 0.4 * 0.25))


def test_shares_are_compared_as_shares() -> None:
    kept(0.60, **CIFAR100, method="cce")
    row = compared().loc["proselflc_figure_3/asymmetric_pairs-0.4/cce/fit_wrong"]
    assert (row["reference"], row["tolerance"]) == (pytest.approx(0.7), pytest.approx(0.08))
    assert row["verdict"] == verdicts.INSIDE
    assert "Read off a figure." in row["note"]


def test_a_share_that_was_read_off_a_figure_may_lie_eight_hundredths_away() -> None:
    name = "proselflc_figure_3/asymmetric_pairs-0.4/cce/entropy_clean"
    for seed, entropy, verdict in ((0, 0.101 + 0.079, verdicts.INSIDE), (0, 0.101 + 0.081, verdicts.OUTSIDE)):
        kept(0.60, **CIFAR100, method="cce", entropy_clean=entropy, home=f"paper_{len(verdict)}", seed=seed)
        assert compared().loc[name, "verdict"] == verdict
        shutil.rmtree(paths.shelf("reference", f"paper_{len(verdict)}", writing=True))


def test_a_run_of_the_short_profile_counts_where_there_is_no_whole_one_and_says_so() -> None:
    kept(0.70, home="paper-short")
    row = compared().loc[LAST]
    assert (row["reference"], row["verdict"]) == (pytest.approx(70.0), verdicts.OUTSIDE)
    assert row["note"].endswith("; profile paper-short.")
    kept(0.61)
    row = compared().loc[LAST]
    assert (row["reference"], row["seeds"], row["verdict"]) == (pytest.approx(61.0), 1, verdicts.INSIDE)
    assert "paper-short" not in row["note"]


def test_an_emphasis_mode_is_met_only_where_several_were_tried() -> None:
    place = "talk_slide_23/symmetric-0.4/dm/emphasis_mode"
    for lam, last in ((0.5, 0.80), (1.0, 0.83)):
        kept(last, method=f"dm:beta=12,lam={lam}")
    assert compared().loc[place, "verdict"] == verdicts.NO_RUN
    kept(0.70, method="dm:beta=12,lam=2")
    row = compared().loc[place]
    assert (row["reference"], row["verdict"]) == (pytest.approx(0.5), verdicts.INSIDE)


def test_another_network_is_not_comparable_whatever_lies_there() -> None:
    kept(0.61)
    assert set(compared().loc[lambda rows: rows.index.str.startswith("elr_"), "verdict"]) == {verdicts.OTHER}
