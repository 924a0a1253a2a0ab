"""Several runs as one: their networks stacked by torch.func, each step one vectorised call, to set beside runs at once.

The library lets runs share a device as threads or processes. This is the other way to do it, measured and not used
where it loses: the weights of K networks lie in one tensor a layer, and a convolution of them is one of K groups.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.ours import Timed
from benchmarks.setting import shortened
from robustdl_lib import train
from robustdl_lib.config import RunConfig
from robustdl_lib.data import Data, load
from robustdl_lib.data.raw import Source
from robustdl_lib.methods.objective import Objective
from robustdl_lib.registry import METHODS
from robustdl_lib.training.compute import Format, own_stream, resolve_device, usual
from robustdl_lib.training.step import Steps, graph


class Stacked(nn.Module):
    """K networks of one architecture as one: images [K N, channels, H, W], run after run -> logits [K N, C]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        weights, self.states = stack_module_state(list(networks))
        self.names, self.count = list(weights), len(networks)
        self.weights = nn.ParameterList(weights.values())
        self.shape = [copy.deepcopy(networks[0]).to("meta")]  # in a list: its parameters are nobody's

    def forward(self, images: Tensor) -> Tensor:
        weights = dict(zip(self.names, self.weights, strict=True))
        self.shape[0].train(self.training)
        runs = images.unflatten(0, (self.count, -1))
        logits: Tensor = vmap(self._one)(weights, self.states, runs)
        return logits.flatten(0, 1)

    def run(self, index: int) -> dict[str, Tensor]:
        """Return the weights of one of the networks by their names."""
        return {name: values[index].detach() for name, values in zip(self.names, self.weights, strict=True)}

    def _one(self, weights: dict[str, Tensor], states: dict[str, Tensor], images: Tensor) -> Tensor:
        return functional_call(self.shape[0], (weights, states), (images,))


class Summed(Objective):
    """The sum of K runs' losses, each a mean over its own examples, which come in equal numbers."""

    def __init__(self, method: str, num_classes: int, count: int) -> None:
        super().__init__(METHODS.parse(method), num_classes)
        self.count = count

    def __call__(self, *args: Any, **more: Any) -> Tensor:
        return self.count * super().__call__(*args, **more)


def stacking(cfgs: Sequence[RunConfig], source: Source) -> Timed:
    """Train the steps of several configurations that differ in ``seed`` as one stack, and return its times."""
    device = resolve_device(cfgs[0].device)
    data = shortened(cfgs[0], load(cfgs[0], source)).to(device)
    start = perf_counter()
    with own_stream(device):
        fit(cfgs, data, usual(cfgs[0], device))
    return Timed(start, perf_counter(), len(cfgs) * cfgs[0].epochs * _whole(cfgs[0], data))


def fit(cfgs: Sequence[RunConfig], data: Data, form: Format) -> Stacked:
    """Return the trained stack: weights and order are each run's own, noise and crops those of the first.

    The last, smaller batch of an epoch is left out; the layout is contiguous, since torch.func has no channels-last
    pooling.
    """
    first, device, form = cfgs[0], data.train.labels.device, replace(form, layout="contiguous")
    stack = Stacked([train.untrained(cfg, data, form) for cfg in cfgs])
    captured = device.type == "cuda"
    optimiser = train.make_optimiser(first, stack, device, captured=captured)
    objective = Summed(first.method, data.num_classes, len(cfgs))
    steps = Steps(first, data, stack, objective, optimiser, form, capture=graph if captured else None)
    a_pass = _whole(first, data) // first.batch_size
    scheduler = train.make_scheduler(first, optimiser, first.epochs * a_pass)
    orders = [torch.Generator().manual_seed(cfg.seed) for cfg in cfgs]
    crops = torch.Generator(device).manual_seed(first.seed)
    stack.train()
    for epoch in range(first.epochs):
        steps.begin_epoch(crops, epoch * a_pass)
        found = [train.batches(cfg, data, order)[:a_pass] for cfg, order in zip(cfgs, orders, strict=True)]
        for step, rows in enumerate(zip(*found, strict=True), epoch * a_pass):
            steps(torch.cat(rows), step / (first.epochs * a_pass))
            scheduler.step()
        steps.losses.mean(f"of the stack, in epoch {epoch + 1}")  # waits for the device
    return stack


def _whole(cfg: RunConfig, data: Data) -> int:
    """Return the training images of an epoch's whole batches."""
    return len(data.train.labels) // cfg.batch_size * cfg.batch_size
