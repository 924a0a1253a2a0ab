"""The library's own loop under the clock: the steps alone, or everything that a run records, one run or a sweep."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.setting import shortened
from robustdl_lib import train
from robustdl_lib.config import RunConfig
from robustdl_lib.data import load
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import beside, spread
from robustdl_lib.training.compute import Format


@dataclass
class Clock:
    """Seconds spent inside named functions; what one named function spends inside another counts once, for it alone."""

    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, its own time added to ``name``."""

        def wrapped(*args: Any, **more: Any) -> Any:
            started, before = perf_counter(), sum(self.seconds.values())
            result = function(*args, **more)
            inside = sum(self.seconds.values()) - before
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - started - inside
            return result

        return wrapped


@dataclass(frozen=True)
class Timed:
    """A run under the clock: when it started and ended (the machine's monotonic clock, s), and what it did.

    ``images`` that were trained on, passes counted again; ``inference`` seconds in the passes over training,
    validation and test set; ``dynamics`` seconds for metrics, p_y and histograms, the passes aside.
    """

    start: float
    end: float
    images: int
    inference: float = 0.0
    dynamics: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end - self.start


def one(cfg: RunConfig, source: Source, everything: bool = False, form: Format | None = None) -> Timed:
    """Train ``cfg`` by the library's loop and return its times, the loading of the data left out.

    With ``everything`` the run records all that a run records; without, its training steps are all it does. ``form``
    says how to compute, by default as usual.
    """
    clock = Clock()
    with recorded(clock) if everything else steps_alone():
        found = bare(cfg, source, form)
    return replace(found, **clock.seconds)


def bare(cfg: RunConfig, source: Source, form: Format | None = None) -> Timed:
    """Train ``cfg`` as the loop is just now, and return from when until when, and the images."""
    data = shortened(cfg, load(cfg, source))
    start = perf_counter()
    train.fit(cfg, data, form=form)
    return Timed(start, perf_counter(), cfg.epochs * len(data.train.rows))


def sweep(
    cfgs: Sequence[RunConfig],
    source: Source,
    at_once: int,
    threads: int = 1,
    everything: bool = False,
    form: Format | None = None,
) -> list[Timed]:
    """Train several configurations as a sweep does, ``at_once`` processes of ``threads`` threads at a time."""
    return list(spread(one, [(cfg, source, everything, form) for cfg in cfgs], at_once, threads))


def sharing(cfgs: Sequence[RunConfig], source: Source, at_once: int) -> list[Timed]:
    """Train the steps of several configurations as a sweep on a GPU does, ``at_once`` threads of this process."""
    with steps_alone():
        return list(beside(bare, [(cfg, source) for cfg in cfgs], at_once))


def together(runs: Sequence[Timed]) -> tuple[int, float]:
    """Return the images of several runs and the seconds from the first one's start to the last one's end."""
    return sum(run.images for run in runs), max(run.end for run in runs) - min(run.start for run in runs)


@contextmanager
def recorded(clock: Clock) -> Iterator[None]:
    """Let ``clock`` see the loop's inference passes (``inference``) and what it makes of them (``dynamics``)."""
    with ExitStack() as stack:
        for name, kind in (("logits_of", "inference"), ("measure", "dynamics")):
            stack.enter_context(patch.object(train, name, clock.timed(kind, getattr(train, name))))
        yield


@contextmanager
def steps_alone() -> Iterator[None]:
    """Leave the inference passes and the measurements out of the training loop."""

    def no_logits(*args: Any, **more: Any) -> Tensor:
        return torch.empty(0, 1)

    def no_row(*args: Any, **more: Any) -> tuple[dict[str, float], dict[str, Any]]:
        return dict.fromkeys(train.COLUMNS[5:], float("nan")), {"clean": np.zeros(1), "wrong": np.zeros(1)}

    with patch.object(train, "logits_of", no_logits), patch.object(train, "measure", no_row):
        yield
