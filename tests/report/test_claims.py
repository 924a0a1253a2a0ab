"""Claims: each verdict from rows that never were, exact numbers live, and what the committed rows say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence

from robustdl_lib import store, sweeps
from robustdl_lib.config import ConfigError, RunConfig, profile_config
from robustdl_lib.registry import METHODS
from robustdl_lib.report import claims, published, verdicts

EPOCHS = 10


def one_run(
    method: str, seed: int, last: float, noise: str = "symmetric:0.4", best: float | None = None
) -> pd.DataFrame:
    """Return the rows of a run that never was: it reaches ``best`` half way and ends at ``last``."""
    rows = pd.DataFrame({"epoch": range(1, EPOCHS + 1)})
    top = last if best is None else best
    accuracy = np.where(rows["epoch"] <= EPOCHS // 2, top, last)
    rows = rows.assign(test_acc=accuracy, val_acc=accuracy, run_id=f"{method}-{noise}-{seed}", noise_rate=0.4)
    rows = rows.assign(dataset="digits", model="resnet20", noise=noise, method=method, seed=seed)
    rows = rows.assign(clean_acc=0.9, fit_wrong=np.where(rows["epoch"] < 8, 0.1, 0.4), corrected=0.5)
    return rows.assign(entropy_clean=0.1, entropy_wrong=0.2, p_clean=0.8, p_wrong=0.3, peak_lr=0.1)


def runs(**lasts: list[float]) -> pd.DataFrame:
    """Return the measures of runs by method, a last accuracy a seed."""
    frames = [one_run(claims.setting(m), seed, last) for m, values in lasts.items() for seed, last in enumerate(values)]
    return claims.measures(pd.concat(frames, ignore_index=True))


def line(table: pd.DataFrame, name: str) -> pd.Series:
    return table.set_index("id").loc[name]


DM_GCE = "last/symmetric-0.4/dm-gce"
PAIRS = "last/asymmetric_pairs-0.4/proselflc-ls"
MEASURED = (
    *("test_acc", "val_acc", "clean_acc", "fit_wrong", "corrected", "entropy_clean", "entropy_wrong"),
    *("p_clean", "p_wrong"),
)


@pytest.mark.parametrize(
    ("dm", "gce", "verdict"),
    [
        ([0.90, 0.91, 0.92], [0.80, 0.81, 0.82], verdicts.HOLDS),
        ([0.80, 0.81, 0.82], [0.90, 0.91, 0.92], verdicts.FAILS),
        ([0.80, 0.85, 0.90], [0.86, 0.80, 0.84], verdicts.UNSURE),
        ([0.9], [0.8], verdicts.LONE),
        ([0.9, 0.9, 0.9], [], verdicts.NO_RUN),
    ],
)
def test_rows_give_each_verdict(dm: list[float], gce: list[float], verdict: str) -> None:
    ours = runs(dm=dm, gce=gce)
    found = line(claims.evaluated(ours, ours.iloc[:0]), DM_GCE)
    assert found["verdict"] == verdict
    assert found["verdict_here"] == verdicts.NONE
    assert found["published"] == pytest.approx(83.8 - 80.7)


def test_seeds_are_subtracted_seed_by_seed() -> None:
    """Seeds that differ by 40 points, methods by 2 in each: the difference has hardly any spread."""
    ours = runs(dm=[0.52, 0.72, 0.92], gce=[0.50, 0.70, 0.90])
    found = line(claims.evaluated(ours, ours.iloc[:0]), DM_GCE)
    assert found["reference"] == pytest.approx(2.0)
    assert found["tolerance"] == pytest.approx(0.0, abs=1e-6)
    assert found["verdict"] == verdicts.HOLDS


def test_this_machine_has_a_verdict_of_its_own() -> None:
    good, bad = runs(dm=[0.9, 0.91, 0.92], gce=[0.8] * 3), runs(dm=[0.7, 0.71, 0.72], gce=[0.8] * 3)
    found = line(claims.evaluated(good, bad), DM_GCE)
    assert (found["verdict"], found["verdict_here"]) == (verdicts.HOLDS, verdicts.FAILS)
    assert found["here"] == pytest.approx(-9.0)


def test_a_margin_is_asked_for_and_said() -> None:
    small = [one_run("cce", seed, 0.78, best=0.80 + 0.001 * seed) for seed in range(3)]
    large = [one_run("cce", seed, 0.60, best=0.80 + 0.001 * seed) for seed in range(3)]
    for rows, verdict in ((small, verdicts.FAILS), (large, verdicts.HOLDS)):
        ours = claims.measures(pd.concat(rows, ignore_index=True))
        found = line(claims.evaluated(ours, ours.iloc[:0]), "lost/symmetric-0.4/cce")
        assert found["verdict"] == verdict
        assert found["difference"] == pytest.approx(found["reference"] - 5.0)
        assert "At least 5 points" in found["note"]


def test_late_is_how_much_later_wrong_labels_are_fitted() -> None:
    ours = claims.measures(one_run("cce", 0, 0.9))
    assert ours["late"].tolist() == [pytest.approx(100 * (8 - 1) / EPOCHS)]
    forgotten = one_run("cce", 0, 0.9).assign(clean_acc=[*[0.2] * 3, *[0.3] * 2, 1.0, *[0.5] * 4])
    late = claims.measures(forgotten)["late"].tolist()  # half of what it ends with, not of the most that it had
    assert late == [pytest.approx(100 * (8 - 4) / EPOCHS)]
    clean = one_run("cce", 0, 0.9, noise="none").assign(fit_wrong=np.nan)
    assert claims.measures(clean)["late"].isna().all()


def test_no_rows_are_no_run_yet_and_never_a_pass() -> None:
    none = claims.measures(store.no_rows())
    found = claims.evaluated(none, none)
    assert set(found["verdict"]) == {verdicts.NO_RUN}
    assert found["reference"].isna().all()


def rates(psi: dict[str, float], seed: int) -> pd.DataFrame:
    """Return the last epochs of DM with three lambdas at two rates; ``psi`` names the lambda that validates best."""
    frames = []
    for noise, best in psi.items():
        for lam in (0.0, 0.5, 2.0):
            spec = str(METHODS.parse(f"dm:beta=8,lam={lam}"))
            frames.append(one_run(spec, seed, 0.9 if lam == best else 0.5, noise=noise))
    return pd.concat(frames, ignore_index=True)


def test_the_emphasis_mode_rises_where_the_rows_say_so_and_is_left_out_without_rows() -> None:
    up = pd.concat([rates({"none": 0.0, "symmetric:0.8": 2.0}, seed) for seed in range(3)])
    down = pd.concat([rates({"none": 2.0, "symmetric:0.8": low}, seed) for seed, low in enumerate((0.0, 0.5, 0.0))])
    found = claims.rising(up, down).iloc[0]
    assert found["reference"] == pytest.approx(100 * 2 / 3)
    assert (found["verdict"], found["verdict_here"]) == (verdicts.HOLDS, verdicts.FAILS)
    assert claims.rising(store.no_rows(), store.no_rows()).empty


def test_the_seeds_of_search_and_judgement_are_told_of_together() -> None:
    found = claims.rising(claims.rate_rows("reference"), store.no_rows()).iloc[0]
    assert found["seeds"] == 3


def test_emphasis_numbers_are_computed_and_hold() -> None:
    found = claims.exact()
    assert len(found) == 34
    assert set(found["verdict"]) == {verdicts.HOLDS}
    assert line(found, "emphasis_modes/gce")["reference"] == pytest.approx(0.7 / 1.7, abs=1e-6)
    assert line(found, "emphasis_shapes/dm-2-0/weight_integral")["reference"] == pytest.approx(
        (np.e**2 - 1) / 2, rel=1e-6
    )


def test_a_wrong_emphasis_number_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = published.read()
    numbers.loc[numbers["id"] == "emphasis_modes/gce", "value"] = 0.4218
    monkeypatch.setattr(published, "read", lambda: numbers)
    found = claims.exact()
    assert found.loc[found["verdict"] == verdicts.FAILS, "id"].tolist() == ["emphasis_modes/gce"]


def test_rows_of_another_setting_are_left_out_of_a_profile(tmp_path: Path) -> None:
    same = {"dataset": "digits", "model": "resnet8", "epochs": 2, "noise": "symmetric:0.6", "method": "gce"}
    plain = RunConfig(**same, seed=4, noise_seed=4)
    history = one_run("gce", 4, 0.5)[["epoch", "test_acc"]]
    others = ({"epochs": 3}, {"lr": 0.01}, {"model": "resnet20"}, {"noise_seed": 5})
    for cfg in (plain, *(plain.replace(**change) for change in others)):
        store.save(sweeps.paths.shelf("runs", "smoke"), cfg, history, {}, {"seconds": 1, "noise_rate": 0.6})
    assert claims.profile_rows("runs", "smoke")["run_id"].unique().tolist() == [plain.run_id]
    assert claims.profile_rows("runs", "quick").empty


def test_in_the_papers_profiles_a_claim_is_tested_on_the_data_it_was_published_for() -> None:
    found = {claim.name: claim for claim in claims.read()}
    assert found[DM_GCE].dataset("paper") == "cifar10"
    assert found["last/symmetric-0.4/proselflc-cce"].dataset("paper") == "cifar100"
    assert found["late/symmetric-0.4/cce"].dataset("paper") == "cifar10"
    assert found["last/asymmetric-0.4/proselflc-cce"].dataset("paper") is None  # published under noise in pairs
    assert found["last/symmetric-0.4/ls-cce"].dataset("paper") is None
    assert found[PAIRS].dataset("paper") == "cifar100"
    assert found[PAIRS].dataset("quick") is None  # the digits have no superclasses
    assert found[DM_GCE].dataset("quick") == "digits"


def test_a_papers_profile_has_the_rows_of_both_its_protocols_and_keeps_them_apart() -> None:
    for dataset, last in (("cifar10", 0.5), ("cifar100", 0.7)):
        noise = "asymmetric_pairs:0.4" if dataset == "cifar100" else "symmetric:0.4"
        for method, more in (("cce", 0.0), ("boot_soft:eps=0.5", 0.1), ("ls:eps=0.25", 0.2), ("mse", 0.05)):
            for seed in range(2):
                cfg = profile_config("paper", dataset=dataset, noise=noise, method=method, seed=seed, noise_seed=seed)
                history = one_run(method, seed, last + more, noise=noise)[["epoch", *MEASURED]]
                for changed in (cfg, cfg.replace(lr=0.01)):
                    store.save(
                        sweeps.paths.shelf("runs", "paper"), changed, history, {}, {"seconds": 1, "noise_rate": 0.4}
                    )
    ours = claims.measures(claims.profile_rows("runs", "paper"))
    assert len(ours) == 16
    table = claims.evaluated(ours, ours.iloc[:0], "paper").set_index("id")
    assert table.loc["last/symmetric-0.4/mse-cce", "reference"] == pytest.approx(5.0)
    assert table.loc["last/symmetric-0.4/boot_soft-ls", "seeds"] == 0  # of CIFAR-100, which has no such rows
    assert table.loc["last/asymmetric_pairs-0.4/ls-boot_soft", "reference"] == pytest.approx(10.0)
    assert table.loc["last/asymmetric_pairs-0.4/ls-boot_soft", "setting"] == "cifar100, asymmetric_pairs:0.4"
    assert table.loc[PAIRS, "verdict"] == verdicts.NO_RUN


def test_the_methods_that_are_tested_are_those_that_are_shown() -> None:
    shown = {str(METHODS.parse(spec)) for spec in sweeps.METHODS_SHOWN}
    named = {name for claim in claims.read() if claim.report for name in (claim.first, claim.second) if name}
    assert {claims.setting(name) for name in named} <= shown


def test_the_committed_rows_test_every_claim() -> None:
    ours = claims.measures(claims.profile_rows("reference"))
    found = claims.evaluated(ours, ours.iloc[:0]).set_index("id")
    assert (found["seeds"] == 3).all()
    assert set(found["verdict"]) <= {verdicts.HOLDS, verdicts.UNSURE, verdicts.FAILS}
    assert found.loc["lost/symmetric-0.4/cce", "verdict"] == verdicts.HOLDS
    assert found.loc[DM_GCE, "verdict"] != verdicts.FAILS


def test_orders_that_change_places_lie_within_the_spread_as_the_readme_says() -> None:
    ours = claims.measures(claims.profile_rows("reference"))
    found = claims.evaluated(ours, ours.iloc[:0]).set_index("id")
    orders = found[found.index.str.startswith("last/symmetric") & (found["reference"] < 0)]
    assert set(orders["verdict"]) <= {verdicts.UNSURE}
    for first in ("dm-gce", "proselflc-ls", "proselflc-cp"):
        assert found.loc[f"last/symmetric-0.4/{first}", "reference"] > 0


def test_the_two_claims_that_the_readme_names_are_those_that_do_not_hold() -> None:
    ours = claims.measures(claims.profile_rows("reference"))
    found = claims.evaluated(ours, ours.iloc[:0]).set_index("id")
    assert found.index[found["verdict"] == verdicts.FAILS].tolist() == [
        *("last/asymmetric-0.4/boot_soft-cce", "clean_acc/asymmetric-0.4/cce-proselflc"),
    ]


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("first", "dmm", ["claims.csv, line 2", "unknown method 'dmm'"]),
        ("noise", "symetric:0.4", ["unknown noise 'symetric'"]),
        ("quantity", "final", ["quantity", "'final'"]),
        ("published", "dm_table_7/nothing", ["no published number 'dm_table_7/nothing'"]),
        ("least", "much", ["least", "'much'"]),
    ],
)
def test_a_bad_claim_is_refused_in_one_sentence(tmp_path: Path, column: str, text: str, words: list[str]) -> None:
    table = pd.read_csv(claims.FILE, dtype=str, keep_default_na=False).head(2)
    table.loc[0, column] = text
    table.to_csv(tmp_path / "claims.csv", index=False)
    with pytest.raises(ConfigError) as refusal:
        claims.read(tmp_path / "claims.csv")
    one_sentence(refusal.value, *words)


def test_a_claim_that_stands_twice_is_refused(tmp_path: Path) -> None:
    table = pd.read_csv(claims.FILE, dtype=str, keep_default_na=False).head(1)
    pd.concat([table, table]).to_csv(tmp_path / "claims.csv", index=False)
    with pytest.raises(ConfigError, match="stands there twice") as refusal:
        claims.read(tmp_path / "claims.csv")
    one_sentence(refusal.value)
