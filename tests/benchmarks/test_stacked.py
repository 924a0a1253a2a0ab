"""Runs stacked as one network: each of them learns what it learns alone."""

import pandas as pd
import pytest
import torch
from helpers.cases import smoke

from benchmarks import many, setting, stacked, tables
from robustdl_lib import train
from robustdl_lib.data import Data, load, load_source
from robustdl_lib.training.compute import Format

CELL = setting.Cell("digits", "resnet8", 256)


def configs(data: Data, **changes: object) -> list:
    """Return two configurations that differ in the seed, whose batches are all whole."""
    count = len(data.train.labels) // 128 * 128
    return [smoke(seed=seed, augment=False, examples=count, lr=0.01, schedule="constant", **changes) for seed in (0, 1)]


@pytest.fixture
def data(digits: Data) -> Data:
    [cfg, _] = configs(digits)
    return load(cfg)


def test_each_network_of_the_stack_learns_what_it_learns_alone(data: Data) -> None:
    cfgs = configs(data, epochs=1)
    stack = stacked.fit(cfgs, data, Format())
    apart = []
    for index, cfg in enumerate(cfgs):
        alone = dict(train.fit(cfg, data, form=Format()).model.named_parameters())
        for name, weights in stack.run(index).items():
            torch.testing.assert_close(weights, alone[name].detach(), atol=2e-3, rtol=0)
        apart.append(alone["classifier.weight"])
    assert float((apart[0] - apart[1]).detach().abs().max()) > 0.1


def test_a_stack_predicts_what_its_networks_predict(data: Data) -> None:
    networks = [train.untrained(cfg, data, Format("contiguous")).eval() for cfg in configs(data)]
    stack = stacked.Stacked(networks).eval()
    images = data.test.images[:16]
    torch.testing.assert_close(stack(images.repeat(2, 1, 1, 1)), torch.cat([network(images) for network in networks]))


def test_the_loss_of_a_stack_is_the_sum_of_its_runs(data: Data) -> None:
    logits, labels = torch.randn(8, 10), torch.arange(8)
    one, two = (
        stacked.Summed("gce", 10, 1)(part, rows) for part, rows in zip(logits.split(4), labels.split(4), strict=True)
    )
    torch.testing.assert_close(stacked.Summed("gce", 10, 2)(logits, labels), one + two)


def test_a_stack_counts_the_images_of_whole_batches() -> None:
    found = stacked.stacking([CELL.config(seed=seed) for seed in range(3)], load_source("digits"))
    assert found.images == 3 * 256
    assert found.seconds > 0


def test_stack_and_processes_stand_side_by_side() -> None:
    rows = pd.DataFrame(many.as_one(setting.budget("tiny")))
    assert list(tables.stacking(rows)["side"]) == ["ours, steps alone", "ours, stacked"]
    assert (rows["value"] > 0).all()
