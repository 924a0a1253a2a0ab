"""ProSelfLC step by step, its closed forms, and the tables beside the published dynamics."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from robustdl_lib import targets
from robustdl_lib.report import dynamics, overview
from robustdl_lib.theory import proselflc


def learner(top: float, classes: int = 10) -> list[float]:
    """Return probabilities: a label with six tenths of what the first class leaves, the rest shared alike."""
    return [0.6 * (1 - top), top] + [0.4 * (1 - top) / (classes - 2)] * (classes - 2)


def rows(methods: tuple[str, ...] = ("cce", "ls:eps=0.25", "proselflc"), epochs: int = 4) -> pd.DataFrame:
    """Return rows of runs that never were, two seeds a method; the order of methods is that of the tuple."""
    parts = []
    for place, method in enumerate(methods):
        for seed in (0, 1):
            progress = np.arange(1, epochs + 1) / epochs
            base = {"run_id": f"{method}-{seed}", "method": method, "seed": seed, "noise": "symmetric:0.4"}
            base |= {"dataset": "digits", "model": "resnet8", "noise_rate": 0.4, "epoch": range(1, epochs + 1)}
            table = pd.DataFrame(base).assign(progress=progress, val_acc=progress)
            for at, name in enumerate(dynamics.MEASURED):
                table[name] = 0.1 + 0.1 * place + 0.05 * at + 0.02 * progress + 0.01 * seed
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def test_the_published_table_is_whole_and_in_per_cent():
    table = dynamics.published()
    assert list(table.index) == list(dynamics.TALK)
    assert list(table.columns) == list(dynamics.MEASURED)
    assert table.notna().all(axis=None)
    assert table["fit_wrong"].idxmin() == table["corrected"].idxmax() == "proselflc"
    assert (table["fit_wrong"] + table["corrected"] <= 100).all()


def test_the_five_are_taken_in_the_order_of_the_slides():
    given = ["proselflc", "dm", "cp:eps=0.5", "cce", "boot_hard", "cce"]
    assert dynamics.of_the_talk(given) == ["cce", "cp:eps=0.5", "proselflc"]
    assert dynamics.of_the_talk(["mae"]) == []


@pytest.mark.parametrize("T", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("B", [4.0, 10.0, 16.0, 100.0])
@pytest.mark.parametrize("top", [0.62, 0.8, 0.95, 0.99])
def test_the_target_changes_its_class_at_the_closed_form_and_nowhere_else(top, B, T):
    moment = proselflc.crossing(learner(top), B=B, T=T)
    if math.isinf(moment):
        assert set(proselflc.steps(learner(top), [0.5, 0.9, 0.9999], B=B, T=T)["semantic"]) == {0}
    else:
        around = proselflc.steps(learner(top), [moment - 1e-6, moment + 1e-6], B=B, T=T)
        assert list(around["semantic"]) == [0, 1]
        assert moment >= 0.5


def test_a_learner_that_agrees_or_doubts_never_corrects():
    assert math.isinf(proselflc.crossing([0.9, 0.05, 0.05]))
    assert math.isinf(proselflc.crossing([0.3, 0.4, 0.3]))


def test_a_moment_after_the_end_never_comes():
    assert proselflc.crossing(learner(0.8), B=10) < 1
    assert math.isinf(proselflc.crossing(learner(0.8), B=2))


def test_steps_are_the_librarys_target_and_the_gradient_of_its_loss():
    p = learner(0.9)
    table = proselflc.steps(p, [0.0, 0.7], B=12, T=0.5, detach=True)
    logits, label = torch.tensor([p], dtype=torch.float64).log(), torch.zeros(1, 10, dtype=torch.float64)
    label[0, 0] = 1
    sharp = torch.softmax(2 * logits, 1)[0]
    for _, row in table.iterrows():
        trust = targets.global_trust(row["t"], B=12) * float(targets.local_trust(logits, T=0.5)[0])
        assert row["trust"] == pytest.approx(trust)
        assert row["target_1"] == pytest.approx(trust * float(sharp[1]))
        pull = (1 - trust) * (1 - p[0]) - trust * (p[0] - float(sharp[0]))
        assert row["pull"] == pytest.approx(pull)


def test_the_trust_of_rows_is_time_times_confidence():
    story = dynamics.trust_story(rows(), "proselflc")
    assert list(story.index) == [0.25, 0.5, 0.75, 1.0]
    assert story.loc[0.5, "g"] == 0.5
    mean = rows().query("method == 'proselflc' and progress == 0.5")["entropy_wrong"].mean()
    assert story.loc[0.5, "trust_wrong"] == pytest.approx(0.5 * (1 - mean))
    assert (story["fit_wrong"] > 1).all()


def test_here_and_published_stand_side_by_side_and_orders_are_compared():
    side = dynamics.side_by_side(rows())
    assert list(side.index) == ["cce", "ls:eps=0.25", "proselflc"]
    assert side.loc["ls:eps=0.25", ("published", "fit_wrong")] == 34.0
    assert side.loc["cce", ("here", "test_acc")] == pytest.approx(100 * (0.1 + 0.15 + 0.02 + 0.005))
    order = dynamics.orders(side)  # here everything rises from CCE over LS to ProSelfLC
    assert order["corrected"] == pytest.approx(1.0)
    assert order["fit_wrong"] == pytest.approx(-1.0)
    assert dynamics.orders(side.iloc[:2]).isna().all()


def test_what_stands_side_by_side_is_told_measure_by_measure_and_then_in_orders():
    side = dynamics.side_by_side(overview.held("talk_noise"))
    told = dynamics.told(side).splitlines()
    assert told[0].split() == ["CCE", "LS", "CP", "Boot-soft", "ProSelfLC"]
    assert told[1].split()[:2] == ["clean_acc", "here"]
    assert told[2].split() == ["published", "94.0", "93.3", "92.0", "93.5", "89.4"]
    assert told[-1].split() == ["entropy_wrong", f"{dynamics.orders(side)['entropy_wrong']:.1f}"]


def test_what_is_memorised_when():
    table = rows().assign(fit_wrong=lambda df: df["progress"] ** 2)
    found = dynamics.memorised_by(table, "cce", (0.1, 0.5, 0.75))
    assert list(found.index) == [0.5, 0.75]
    assert list(found) == pytest.approx([25.0, 56.25])


def test_sure_and_right_are_shares_of_each_subset():
    found = dynamics.sure_and_right(rows())
    one = found.query("method == 'cce' and subset == 'wrong' and progress == 1")
    mean = 100 * rows().query("method == 'cce' and progress == 1")[["entropy_wrong", "corrected"]].mean()
    assert one["sure"].item() == pytest.approx(100 - mean["entropy_wrong"])
    assert one["right"].item() == pytest.approx(mean["corrected"])
    assert len(found) == 3 * 2 * 4


def test_believed_counts_the_last_epoch_above_the_bound():
    base = {"run_id": "a", "method": "cce", "p": [0.05, 0.95] * 4, "epoch": [1] * 4 + [2] * 4}
    base |= {"subset": ["clean", "clean", "wrong", "wrong"] * 2, "count": [9, 9, 9, 9, 10, 30, 50, 10]}
    found = dynamics.believed(pd.DataFrame(base)).loc["cce"]
    assert found["believed"] == pytest.approx(40.0)
    assert found["wrong_among"] == pytest.approx(25.0)
    assert found["wrong_in_all"] == pytest.approx(60.0)
