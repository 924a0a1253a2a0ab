"""How a run computes: its device, the layout of its images in memory, its type of number, its threads.

None of it changes what a run is, only the last digits of its result and the time it takes; it is recorded with the run.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robustdl_lib import paths
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.parallel import on_threads
from robustdl_lib.training import models

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
GAIN = 1.3
"""A format takes the place of the usual one where it is this many times as fast: less may be chance."""
PROBED, REPEATS, SECONDS = 32, 8, 0.5
"""Images in a step of the probe; its steps of a format, of which the fastest counts; the time after which it ends."""


@dataclass(frozen=True)
class Format:
    """Layout of images and weights in memory, type of number in the network, threads of the CPU."""

    layout: Literal["channels_last", "contiguous"] = "channels_last"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = 1

    @property
    def words(self) -> str:
        """The format as a name, such as ``channels_last float32 1``."""
        return f"{self.layout} {self.precision} {self.threads}"

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return ``model`` with its weights in this layout."""
        return model.to(memory_format=LAYOUTS[self.layout])

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return ``model(images)`` in this format: images [N, channels, H, W] -> logits [N, C] in float32."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits: Tensor = model(images.contiguous(memory_format=LAYOUTS[self.layout]))
        return logits.float()


def usual(cfg: RunConfig, device: torch.device) -> Format:
    """Return channels-last, bfloat16 where ``cfg`` says so or a GPU computes in it, and the threads there are."""
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = native if cfg.precision == "auto" else cfg.precision == "bfloat16"
    return Format("channels_last", "bfloat16" if wanted else "float32", torch.get_num_threads())


def fastest(cfg: RunConfig, device: torch.device, shape: Sequence[int], num_classes: int) -> Format:
    """Return the format in which ``cfg``'s network trains fastest on images of ``shape`` (channels, H, W).

    On a GPU the usual one. On a CPU each layout, type of number (unless ``cfg.precision`` names one) and both one
    thread and all that this process may use are tried for a few steps; the usual one stays unless another is
    :data:`GAIN` times as fast. What was measured is kept in ``formats.json`` of the cache, by processor, version of
    torch, network, shape and threads, so that a run that is resumed or repeated computes as before. With
    ``ROBUSTDL_FORMAT=usual`` nothing is tried.
    """
    plain = usual(cfg, device)
    if device.type != "cpu" or os.environ.get("ROBUSTDL_FORMAT") == "usual":
        return plain
    place, key = paths.cache() / "formats.json", _key(cfg, plain, shape)
    kept = _kept(place)
    forms = {form.words: form for form in candidates(cfg, plain)}
    if kept.get(key, {}).get("chosen") not in forms:
        speeds = measure(cfg, list(forms.values()), shape, num_classes)
        measured = {form.words: speed for form, speed in speeds.items()}
        kept |= {key: {"chosen": pick(speeds, plain).words, "images_per_second": measured}}
        _keep(place, kept)
    return forms[kept[key]["chosen"]]


def pick(speeds: dict[Format, float], plain: Format) -> Format:
    """Return the format with the largest speed, or the ``plain`` one where none is :data:`GAIN` times as fast."""
    best = max(speeds, key=lambda form: speeds[form])
    return best if speeds[best] > GAIN * speeds[plain] else plain


def candidates(cfg: RunConfig, plain: Format) -> list[Format]:
    """Return the formats to try, the usual one first."""
    numbers = ("float32", "bfloat16") if cfg.precision == "auto" else (cfg.precision,)
    threads = sorted({1, plain.threads})
    tried = [Format(*found) for found in product(LAYOUTS, numbers, threads)]  # type: ignore[arg-type]
    return [plain, *(form for form in tried if form != plain)]


def resolve_device(name: str) -> torch.device:
    """Return the device ``name`` means here: ``auto`` is CUDA where there is one, else the CPU.

    Raises :class:`~robustdl_lib.config.ConfigError` for a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = {"cpu": 1, "cuda": torch.cuda.device_count()}
    if (device.index or 0) >= there[device.type]:
        found = ", ".join(kind for kind, count in there.items() if count)
        raise ConfigError(f"device {name!r} is not there: this machine has {found}")
    return device


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Work on a stream of one's own inside, on a GPU: several threads then work at the same time."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        outer, inner = torch.cuda.current_stream(), torch.cuda.Stream()
        inner.wait_stream(outer)
        with torch.cuda.stream(inner):
            yield
        outer.wait_stream(inner)


@cache
def processor() -> str:
    """Return the processor's name as Linux gives it, else the architecture's."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def measure(cfg: RunConfig, forms: Sequence[Format], shape: Sequence[int], num_classes: int) -> dict[Format, float]:
    """Return training images a second by format: forward and backward passes over random images, the fastest of a few.

    The formats take turns, so that what else the machine does meanwhile meets them all.
    """
    steps = {form: _step(cfg, form, shape, num_classes) for form in forms}
    times: dict[Format, list[float]] = {form: [] for form in forms}
    for turn in range(1 + REPEATS):  # the first is to warm up
        for form, step in steps.items():
            if turn < 2 or sum(times[form]) < SECONDS:
                started = time.perf_counter()
                with on_threads(form.threads):
                    step()
                times[form] += [time.perf_counter() - started] * (turn > 0)
    return {form: round(PROBED / min(found), 1) for form, found in times.items()}


def _step(cfg: RunConfig, form: Format, shape: Sequence[int], num_classes: int) -> Callable[[], None]:
    """Return a function that does the work of a step on random images."""
    with torch.random.fork_rng(devices=[]):
        model = form.prepare(models.build(cfg.model, num_classes=num_classes, in_channels=shape[0]))
        images, labels = torch.rand(PROBED, *shape), torch.zeros(PROBED, dtype=torch.long)
    return lambda: cross_entropy(form.logits(model, images), labels).backward()


def _key(cfg: RunConfig, plain: Format, shape: Sequence[int]) -> str:
    size = "x".join(map(str, shape))
    words = [processor(), f"torch {torch.__version__}", cfg.model, size, cfg.precision, f"{plain.threads} threads"]
    return "; ".join(words)


def _kept(place: Path) -> dict[str, Any]:
    """Return what earlier probes measured; nothing where the file is not there or not as it was written."""
    try:
        return {key: dict(entry) for key, entry in json.loads(place.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(place: Path, kept: dict[str, Any]) -> None:
    """Write what was measured, in one step; a cache that cannot be written is gone without."""
    part = place.with_name(f".{place.name}-{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        part.replace(place)
    with suppress(OSError):
        part.unlink()
