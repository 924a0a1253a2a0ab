"""What is measured and how long: the budgets, the cells of the table, the shape of a row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from joblib import cpu_count

from robustdl_lib import paths
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.data import Data
from robustdl_lib.data.cifar import FILES

ROOT = Path(__file__).resolve().parent.parent
OFFICIAL = {"digits": 1257, "cifar10": 45_000}
"""The training images of each data set when none is left out."""
COLUMNS = (
    *("part", "quantity", "unit", "dataset", "model", "side", "at_once", "threads", "examples"),
    *("value", "low", "high", "repeats"),
)


@dataclass(frozen=True)
class Cell:
    """A data set and a network, and how much of them a repetition trains: ``examples`` images, ``epochs`` times."""

    dataset: str
    model: str
    examples: int
    epochs: int = 1

    def config(self, **changes: Any) -> RunConfig:
        """Return the run's configuration, on the processor unless ``changes`` say otherwise."""
        examples = None if self.examples >= OFFICIAL[self.dataset] else self.examples
        size = {"dataset": self.dataset, "model": self.model, "examples": examples, "epochs": self.epochs}
        return RunConfig(**{**size, "device": "cpu", **changes})

    def sweep(self, count: int, **changes: Any) -> list[RunConfig]:
        """Return ``count`` configurations that differ in the seed."""
        return [self.config(seed=seed, **changes) for seed in range(count)]


@dataclass(frozen=True)
class Budget:
    """How much a benchmark does.

    ``cells`` are compared with the plain loop ``repeats`` times; ``crowd`` is trained ``at_once`` 1, 2, ... processes
    at a time, ``whole`` likewise with all images of its data set in memory; ``depths`` and ``sizes`` (training
    images) and ``runs`` (in a sweep) say how the cost of ``growing`` grows; ``side`` of the square matrices and
    ``megabytes`` of the copy by which the machine's ceilings are measured.
    """

    name: str
    repeats: int
    cells: tuple[Cell, ...]
    crowd: Cell
    whole: Cell
    at_once: tuple[int, ...]
    growing: tuple[Cell, ...]
    depths: tuple[int, ...]
    sizes: tuple[int, ...]
    runs: tuple[int, ...]
    side: int
    megabytes: int
    gpu: Cell
    gpu_at_once: tuple[int, ...] = (1, 2, 4, 8)


BUDGETS = {
    "tiny": Budget(
        name="tiny",
        repeats=1,
        cells=(Cell("digits", "resnet8", 256),),
        crowd=Cell("digits", "resnet8", 256),
        whole=Cell("digits", "resnet8", 128),
        at_once=(1,),
        growing=(Cell("digits", "resnet8", 128),),
        depths=(8,),
        sizes=(128, 256),
        runs=(1, 2),
        side=256,
        megabytes=8,
        gpu=Cell("digits", "resnet8", 256),
        gpu_at_once=(1, 2),
    ),
    "quick": Budget(
        name="quick",
        repeats=3,
        cells=(
            Cell("digits", "resnet20", 1257, 4),
            Cell("digits", "resnet56", 1257, 2),
            Cell("cifar10", "resnet20", 1920),
            Cell("cifar10", "resnet56", 640),
        ),
        crowd=Cell("digits", "resnet20", 1257, 2),
        whole=Cell("cifar10", "resnet20", 256),
        at_once=(1, 2, 4, 8),
        growing=(Cell("digits", "resnet20", 1257, 3), Cell("cifar10", "resnet20", 256)),
        depths=(8, 20, 32, 56),
        sizes=(320, 640, 1257),
        runs=(2, 4, 8),
        side=1536,
        megabytes=512,
        gpu=Cell("cifar10", "resnet56", 12_800),
    ),
}


def budget(name: str) -> Budget:
    """Return a budget by its name; raises ConfigError for another, listing what there is."""
    if name not in BUDGETS:
        raise ConfigError(f"unknown budget {name!r}: there is {', '.join(BUDGETS)}")
    return BUDGETS[name]


def cores() -> int:
    """Return the processor's cores that this process may use: the processes of a sweep, the plain loop's threads."""
    return cpu_count()


def there(dataset: str) -> bool:
    """Say whether a data set lies on this machine: the digits always do, CIFAR-10 in the data root."""
    return dataset == "digits" or all((paths.data() / "cifar-10-batches-py" / name).is_file() for name in CIFAR_FILES)


CIFAR_FILES = tuple(FILES["cifar-10-batches-py"])


def shortened(cfg: RunConfig, data: Data) -> Data:
    """Return the data with the test set cut in the proportion in which ``cfg.examples`` cuts the training set.

    Inference over the whole test set after a few training images would count for more than it does in a run of all.
    """
    share = len(data.train.rows) / OFFICIAL.get(cfg.dataset, len(data.train.rows))
    count = max(1, round(share * len(data.test.rows)))
    names = ("rows", "labels", "clean_labels", "kind")
    return replace(data, test=replace(data.test, **{name: getattr(data.test, name)[:count] for name in names}))


def row(part: str, quantity: str, unit: str, values: Sequence[float], **where: Any) -> dict[str, Any]:
    """Return a row of the table: median, least and largest of ``values``; without any it was not measured.

    ``where`` says of what: dataset, model, side, at_once (processes), threads (of each), examples.
    """
    blank = {"dataset": "", "model": "", "side": "", "at_once": 1, "threads": 1, "examples": 0}
    if unknown := set(where) - set(blank):
        raise TypeError(f"a row says {', '.join(blank)}, found {sorted(unknown)[0]!r}")
    found = [float("nan")] if not values else list(values)
    spread = {"value": median(found), "low": min(found), "high": max(found), "repeats": len(values)}
    return {"part": part, "quantity": quantity, "unit": unit, **blank, **where, **spread}
