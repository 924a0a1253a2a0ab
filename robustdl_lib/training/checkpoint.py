"""A run that was stopped in the middle goes on from its last checkpoint, and ends with the bits that it would have had.

A checkpoint is one file, ``.checkpoint-<run id>`` beside the runs: the SHA-256 of what follows, then what
:func:`torch.save` wrote. It is written under a temporary name and moved when whole, replaced as the run goes on, and
removed when the run is stored. What it holds is read with ``weights_only=True`` alone.
"""

import hashlib
import io
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter
from types import CodeType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from robustdl_lib import files, paths
from robustdl_lib.config import ConfigError
from robustdl_lib.methods.objective import Objective
from robustdl_lib.registry import METHODS

EVERY = 30.0
"""Seconds between two checkpoints of a run, unless something else is asked for."""
GROUND = ("config", "registry")
ROOMS = ("data", "methods", "training")
"""What a run executes: an edit elsewhere leaves its checkpoints valid."""
DIGEST = hashlib.sha256().digest_size


def require_interval(seconds: float) -> None:
    """Raise ConfigError, in one sentence, where ``seconds`` between checkpoints are not 0 or more."""
    if not seconds >= 0:
        raise ConfigError(f"checkpoint_every is 0 (after every epoch) or more seconds, found {seconds:g}")


@dataclass
class Parts:
    """Everything that the steps of a training change: what it must have again to go on.

    ``generators`` draw the order and the crops; ``history`` holds a row an epoch, ``histograms`` the p_y counts [50]
    of both subsets an epoch. torch's global generators belong to it where something drew from them.
    """

    model: nn.Module
    optimiser: Optimizer
    scheduler: lr_scheduler.LRScheduler
    objective: Objective
    generators: Sequence[torch.Generator]
    history: list[dict[str, float]]
    histograms: list[dict[str, NDArray[np.int64]]]
    untouched: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.untouched = self._global_states()

    def state(self) -> dict[str, Any] | None:
        """Return all of it as tensors, numbers and texts; None where the method's memory cannot say what it holds."""
        remembered, now = self.objective.state(), self._global_states()
        if remembered is None:
            return None
        same = all(map(torch.equal, now, self.untouched))
        return {
            **{name: getattr(self, name).state_dict() for name in ("model", "optimiser", "scheduler")},
            "memory": remembered,
            "generators": [generator.get_state() for generator in self.generators],
            "global": [] if same else now,
            "history": self.history,
            "histograms": [{name: torch.from_numpy(found) for name, found in row.items()} for row in self.histograms],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned, all but the memory."""
        for name in ("model", "optimiser", "scheduler"):
            getattr(self, name).load_state_dict(state[name])
        self._to_device()
        for generator, kept in zip(self.generators, state["generators"], strict=True):
            generator.set_state(kept)
        if state["global"]:
            self._set_global_states(state["global"])
            self.untouched = [torch.empty(0)] * len(state["global"])  # never equal: they stay part of the run
        self.history += state["history"]
        self.histograms += [{name: found.numpy() for name, found in row.items()} for row in state["histograms"]]

    def _to_device(self) -> None:
        """Bring the optimiser's numbers, such as a rate that a graph reads, to where the network is."""
        device = next(self.model.parameters()).device
        for group in self.optimiser.param_groups:
            group.update({name: value.to(device) for name, value in group.items() if isinstance(value, Tensor)})

    def _global_states(self) -> list[Tensor]:
        device = next(self.model.parameters()).device
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]

    def _set_global_states(self, states: Sequence[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if len(states) > 1:
            torch.cuda.set_rng_state(states[1], next(self.model.parameters()).device)


class Checkpoint:
    """The checkpoint of one run: where it lies, where it must come from, and how often it is written.

    ``origin`` says what decides a run's bits (run id, code, versions, device, threads, precision, data): a checkpoint
    of another origin is not gone on from. ``every`` are the seconds between two, 0 for one after every epoch;
    ``started`` is when this part of the run began, by ``perf_counter``.
    """

    def __init__(
        self, path: Path, origin: Mapping[str, Any], every: float = EVERY, started: float | None = None
    ) -> None:
        self.path, self.origin, self.every = path, dict(origin), every
        self.started = self.last = perf_counter() if started is None else started
        self.earlier = 0.0

    def seconds(self) -> float:
        """Return how long the run took: its earlier parts, each until its last checkpoint, and this one so far."""
        return self.earlier + perf_counter() - self.started

    def resume(self, parts: Parts) -> dict[str, Any] | None:
        """Bring ``parts`` to where the run was, and return what its memory held; None where the run starts anew.

        A checkpoint that is damaged or of another origin is named in a warning and ignored.
        """
        try:
            kept = self._read()
        except ValueError as error:
            warnings.warn(f"ignored, so that the run starts anew: {error}", stacklevel=3)
            return None
        if kept is None:
            return None
        parts.restore(kept["state"])
        self.earlier = kept["seconds"]
        return kept["state"]["memory"]

    def keep(self, parts: Parts, *, at_once: bool = False) -> None:
        """Write what an epoch left where the last checkpoint is old enough, or ``at_once``.

        One that cannot be written is a warning. The run itself goes on then: what it loses is that it could go on here.
        """
        young = perf_counter() - self.last < self.every and not at_once
        if young or (state := parts.state()) is None:
            return
        try:
            self._write({"origin": self.origin, "seconds": self.seconds(), "state": state})
        except OSError as error:
            warnings.warn(f"cannot write the checkpoint {self.path}: {error.strerror or error}", stacklevel=3)
        self.last = perf_counter()

    def remove(self) -> None:
        """Take the checkpoint away; nothing to do where there is none."""
        self.path.unlink(missing_ok=True)

    def _write(self, content: dict[str, Any]) -> None:
        whole = io.BytesIO(bytes(DIGEST))
        whole.seek(DIGEST)
        torch.save(content, whole)
        whole.getbuffer()[:DIGEST] = hashlib.sha256(whole.getbuffer()[DIGEST:]).digest()
        part = self.path.with_name(files.unfinished(self.origin["run_id"]) + "checkpoint")
        try:
            with part.open("wb") as file:
                file.write(whole.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            part.rename(self.path)
        finally:
            part.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        """Return what the file holds, None where there is none; raises ValueError that says what is bad of it."""
        kept = read(self.path)
        if kept is not None:
            self._require_origin(kept["origin"])
        return kept

    def _require_origin(self, found: Mapping[str, Any]) -> None:
        for name in {**self.origin, **found}:
            here, there = self.origin.get(name), found.get(name)
            if here != there:
                raise ValueError(f"{self.path} comes from a run with {name} = {there}, and this one has {here}")


def read(path: Path) -> dict[str, Any] | None:
    """Return what a checkpoint holds: its origin, the seconds that its run took so far, the state; None without one.

    Raises ValueError, in one sentence, for a file that cannot be read or is not as it was written.
    """
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    damaged = ValueError(f"{path} is not as it was written: it was cut short or changed")
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        raise damaged
    try:
        return torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise damaged from None


def code_sha256(method: str) -> str:
    """Return a checksum of the package's sources and of the method's own function, which may come from elsewhere.

    Code that was not committed has no revision that tells it from what it was before.
    """
    code = getattr(METHODS.parse(method).entry.function, "__code__", None)
    words = repr(list(_words(code))) if code else ""
    return hashlib.sha256((package_sha256() + words).encode()).hexdigest()


@cache
def package_sha256() -> str:
    """Return a checksum of the sources that a run executes; an edit of a plot or a page ends no run."""
    root = Path(paths.__file__).parent
    sources = [root / f"{name}.py" for name in GROUND]
    sources += sorted(path for room in ROOMS for path in (root / room).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _words(code: CodeType) -> Iterator[Any]:
    """Yield what compiled code does, in words that are the same in every process."""
    yield from (code.co_code, code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _words(constant)
        else:
            yield sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant
