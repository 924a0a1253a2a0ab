"""What a training step costs, what this machine can do at best, and how cost grows with images and depth.

Operations are those of matrix products and convolutions, forward and backward, a multiplication and an addition each
(:class:`torch.utils.flop_counter.FlopCounterMode`). Bytes follow one rule: every operation that PyTorch executes reads
each of its tensors and writes each of its results once, views cost nothing, and no cache keeps anything between two
operations. That is what a loop of separate operations asks of memory; caches can make it less.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import ours
from benchmarks.setting import OFFICIAL, Budget, Cell, cores, row, there
from benchmarks.throughput import SINGLE
from robustdl_lib import models
from robustdl_lib.data import load_source
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import on_threads

SHAPES = {"digits": (1, 8, 8), "cifar10": (3, 32, 32)}
BATCH = 128
GIGA = 1e9


class Traffic(TorchDispatchMode):
    """Counts in ``bytes`` what the operations executed inside read and write, by the rule of this file."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            touched = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in touched)
        return result


def rows(budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the machine's ceilings, each network's step beside them on one thread, and the growth with images."""
    peaks = {}
    for threads in sorted({1, cores()}):
        with on_threads(threads):
            product, copied = product_rate(budget.side, budget.repeats), copy_rate(budget.megabytes, budget.repeats)
        peaks[threads] = max(product), max(copied)
        yield row("ceiling", "matrix product", "GFLOP/s", product, threads=threads)
        yield row("ceiling", "copy, read and written", "GB/s", copied, threads=threads)
    for cell in (cell for cell in budget.growing if there(cell.dataset)):
        source = load_source(cell.dataset)
        for depth in budget.depths:
            yield from step_rows(replace(cell, model=f"resnet{depth}"), source, peaks[1], budget.repeats)
        yield from by_size(cell, source, budget)


def step_rows(cell: Cell, source: Source, peaks: tuple[float, float], repeats: int) -> list[dict[str, Any]]:
    """Return operations and bytes of a step, its time on one thread, and its shares of the ceilings in per cent.

    The bound is the longer of the times that the operations at the peak and the bytes at the peak would take.
    """
    operations, touched = counted(cell.model, SHAPES[cell.dataset])
    seconds = [BATCH * run.seconds / run.images for run in _alone(cell, source, repeats)]
    bound = max(operations / peaks[0], touched / peaks[1]) / GIGA
    values = {
        ("operations of a step", "GFLOP"): [operations / GIGA],
        ("bytes of a step", "GB"): [touched / GIGA],
        ("seconds of a step", "s"): seconds,
        ("share of the matrix product", "%"): [100 * operations / GIGA / second / peaks[0] for second in seconds],
        ("share of the copy", "%"): [100 * touched / GIGA / second / peaks[1] for second in seconds],
        ("bound, share of the time", "%"): [100 * bound / second for second in seconds],
    }
    where = {"dataset": cell.dataset, "model": cell.model, "side": SINGLE, "examples": cell.examples}
    return [row("roofline", name, unit, found, **where) for (name, unit), found in values.items()]


def by_size(cell: Cell, source: Source, budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield the seconds of an epoch on one thread, steps alone, by the number of training images."""
    for size in (size for size in budget.sizes if size <= OFFICIAL[cell.dataset]):
        runs = _alone(replace(cell, examples=size), source, budget.repeats)
        seconds = [run.seconds / cell.epochs for run in runs]
        where = {"dataset": cell.dataset, "model": cell.model, "side": SINGLE, "examples": size}
        yield row("growth", "seconds of an epoch", "s", seconds, **where)


def counted(model: str, shape: tuple[int, int, int], batch: int = BATCH) -> tuple[int, int]:
    """Return the operations and the bytes of one training step on ``batch`` images [channels, H, W]."""
    network = models.build(model, num_classes=10, in_channels=shape[0]).to(memory_format=torch.channels_last)
    optimiser = SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.randn(batch, *shape), torch.randint(10, (batch,))
    step(network, optimiser, images, labels)  # the first step makes the optimiser's buffers
    operations, traffic = FlopCounterMode(display=False), Traffic()
    for counter in (operations, traffic):
        _inside(counter, lambda: step(network, optimiser, images, labels))
    return operations.get_total_flops(), traffic.bytes


def step(network: nn.Module, optimiser: SGD, images: Tensor, labels: Tensor) -> None:
    """Take one training step by cross entropy."""
    optimiser.zero_grad(set_to_none=True)
    cross_entropy(network(images), labels).backward()
    optimiser.step()


def product_rate(side: int, repeats: int) -> list[float]:
    """Return GFLOP/s of float32 products of two square matrices, 2 side^3 operations each."""
    one, other, result = (torch.randn(side, side) for _ in range(3))
    seconds = _seconds(lambda: torch.mm(one, other, out=result), repeats)
    return [2 * side**3 / GIGA / second for second in seconds]


def copy_rate(megabytes: int, repeats: int) -> list[float]:
    """Return GB/s of copies of so many MB from one tensor to another, counting what is read and what is written."""
    source, target = (torch.ones(megabytes * 250_000) for _ in range(2))
    return [2 * megabytes / 1000 / second for second in _seconds(lambda: target.copy_(source), repeats)]


def _alone(cell: Cell, source: Source, repeats: int) -> list[ours.Timed]:
    """Return runs of steps alone on one thread, the first of them left out: it warms up."""
    return ours.sweep(cell.sweep(1) * (repeats + 1), source, 1)[1:]


def _seconds(work: Callable[[], Any], repeats: int) -> list[float]:
    """Return how long ``work`` takes, five times as often as ``repeats``, after a first time that warms up."""
    work()
    found = []
    for _ in range(5 * repeats):
        started = perf_counter()
        work()
        found.append(perf_counter() - started)
    return found


def _inside(counter: AbstractContextManager[Any], work: Callable[[], None]) -> None:
    with counter:
        work()
