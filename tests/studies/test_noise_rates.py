"""The sweep over noise rates: what is planned, what is read of its runs, and what is chosen by which measure."""

import pandas as pd
import pytest
from helpers.cases import one_sentence

from robustdl_lib import data, sweeps
from robustdl_lib.config import ConfigError
from robustdl_lib.registry import METHODS
from robustdl_lib.report import emphasis_modes
from robustdl_lib.runs.sweeps import Setting
from robustdl_lib.studies import noise_rates
from robustdl_lib.theory.gradients import emphasis_mode

LAMBDAS = list(noise_rates.BETAS)


def a_run(method, noise, seed, test, val, epoch=2):
    return {
        **{"run_id": f"{method} {noise} {seed}", "dataset": "digits", "noise": noise, "method": method, "seed": seed},
        **{"model": "resnet20", "noise_rate": 0.41, "epoch": epoch, "test_acc": test, "val_acc": val},
        **{"clean_acc": 0.9, "fit_wrong": 0.1, "corrected": 0.5, "entropy_clean": 0.0, "entropy_wrong": 0.0},
    }


def runs():
    """At rate 0.4 validation prefers lambda 1, the test set lambda 2; of lambda 0 the larger beta is the better one."""
    scores = {"dm:beta=0.5,lam=0": (0.5, 0.4), "dm:beta=2,lam=0": (0.6, 0.5), "dm": (0.79, 0.78)}
    scores |= {"dm:beta=8,lam=1": (0.80, 0.90), "dm:lam=2": (0.95, 0.89), "cce": (0.99, 0.99)}
    rows = []
    for method, (test, val) in scores.items():
        for seed, off in ((0, -0.01), (1, 0.01)):
            rows += [a_run(method, "symmetric:0.4", seed, 1.0, 1.0, epoch=1)]
            rows += [a_run(method, "symmetric:0.4", seed, test + off, val + off)]
    return pd.DataFrame(rows)


def test_the_search_is_the_grid_at_every_rate_with_clean_validation_labels_and_one_seed():
    plan = sweeps.plan("noise_rates", Setting(noise="asymmetric:0.4", seeds=[3, 4]))
    assert {cfg.noise for cfg in plan} == {"none", *(f"symmetric:{rate}" for rate in (0.2, 0.4, 0.6, 0.8))}
    assert {cfg.validation for cfg in plan} == {"clean"}
    assert {(cfg.seed, cfg.noise_seed) for cfg in plan} == {(3, 3)}
    assert {round(emphasis_mode(cfg.method), 3) for cfg in plan} == {0.0, 0.333, 0.5, 0.667}
    assert len(plan) == 4 * sum(map(len, noise_rates.BETAS.values())) + len(noise_rates.BETAS)


def test_the_judgement_takes_the_searched_beta_of_each_rate_and_lambda_and_the_other_seeds():
    plan = sweeps.plan("noise_rates_judged", Setting(seeds=[0, 5, 6]))
    assert len(plan) == 5 * len(LAMBDAS) * 2
    assert {cfg.seed for cfg in plan} == {5, 6}
    best = emphasis_modes.sharpest(emphasis_modes.readings(emphasis_modes.rows()))
    found = {
        (cfg.noise, float(knobs["lam"]), float(knobs["beta"]))
        for cfg in plan
        if (knobs := METHODS.parse(cfg.method).values)
    }
    names = [f"symmetric:{rate:g}" if rate else "none" for rate in best["rate"]]
    assert found == set(zip(names, best["lam"], best["beta"], strict=True))


def test_the_judgement_asks_for_the_search():
    with pytest.raises(ConfigError) as caught:
        sweeps.plan("noise_rates_judged", Setting(seeds=[77]))
    one_sentence(caught.value, "48 of 48 runs of the sweep noise_rates are missing", "train it first")


def test_training_does_not_see_the_validation_set():
    plan = sweeps.plan("noise_rates", Setting(seeds=[0]))
    cfg = next(cfg for cfg in plan if cfg.noise == "symmetric:0.4")
    clean, noisy = data.load(cfg), data.load(cfg.replace(validation="noisy"))
    assert clean.train.labels.equal(noisy.train.labels)
    assert clean.train.rows.equal(noisy.train.rows)
    assert not clean.val.mislabelled.any()
    assert noisy.val.mislabelled.any()
