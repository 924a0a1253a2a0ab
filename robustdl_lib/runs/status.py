"""What the store holds, what sweeps lack, and how long the lacking runs will take.

A run's time is taken from the runs that are stored: the median seconds an epoch of those most like it, times its
epochs. Runs made here are asked first; where there is none, the committed ones answer for another machine.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import pandas as pd

from robustdl_lib import files, paths
from robustdl_lib.config import PAPER, ConfigError, RunConfig
from robustdl_lib.registry import SWEEPS
from robustdl_lib.runs import store, sweeps
from robustdl_lib.training import checkpoint as checkpoints

Contents = Mapping[str, Mapping[Path, list[store.Run]]]
"""The stored runs by shelf and folder, those made here first."""
ALIKE = ("dataset", "examples", "model", "batch_size")
"""The fields that decide how long an epoch takes, whatever the method."""
BESIDE = ("report", "studies")
"""Folders of a shelf that hold no runs."""
STORED = ["shelf", "folder", "runs", "damaged", "unfinished", "in training", "hours"]
LACKS = ["sweep", "runs", "made here", "in the reference", "lacking", "seconds"]
UNFINISHED = ["folder", "run", "method", "noise", "seed", "epoch", "of", "seconds"]


def contents() -> Contents:
    """Return all stored runs; each is read, and checked, once. A damaged one is named in a warning and left out."""
    return {shelf: {place: store.all_runs(place) for place in _places(shelf)} for shelf in store.SHELVES}


def stored(found: Contents) -> pd.DataFrame:
    """Return a row a folder of runs, of both shelves: what it holds, and the hours that its runs took.

    Columns shelf, folder, runs (whole ones), damaged, unfinished (checkpoints), in training (by any process now) and
    hours. ``found`` as :func:`contents` returns it.
    """
    rows = [_row(shelf, place, runs) for shelf, places in found.items() for place, runs in places.items()]
    return pd.DataFrame(rows, columns=STORED)


def unfinished(setting: sweeps.Setting) -> pd.DataFrame:
    """Return a row a checkpoint of the shelf ``runs``: how far its run is, and what it is where a sweep names it.

    Columns folder, run, method, noise, seed, epoch, of, seconds; method, noise, seed and of are None for a run of
    another setting. A damaged checkpoint has no epoch: its run starts anew.
    """
    known = {cfg.run_id: cfg for configs in plans(setting).values() for cfg in configs}
    found = [(place, path) for place in _places("runs") for path in _hidden(place, "checkpoint")]
    return pd.DataFrame([_unfinished(place, path, known) for place, path in found], columns=UNFINISHED)


def lacks(setting: sweeps.Setting, found: Contents, jobs: int | None = None) -> pd.DataFrame:
    """Return a row a sweep in this setting: its runs, how many are there, how many lack, and the seconds they need.

    Columns sweep, runs, made here, in the reference, lacking, seconds: with ``jobs`` runs at a time, by default as many
    as a sweep takes; NaN where no run like them was ever stored. ``found`` as :func:`contents` returns it.
    """
    done, rows = by_shelf(found), []
    for name, configs in plans(setting).items():
        shelves = {shelf: sweeps.shelves(name, setting.home, shelf, shelf)[:2] for shelf in ("runs", "reference")}
        here, there = (_held(configs, places, found[shelf]) for shelf, places in shelves.items())
        missing = [cfg for cfg in configs if cfg.run_id not in here]
        left = [_left(cfg, done, sweeps.shelves(name, setting.home)[-1]) for cfg in missing]
        taken = makespan(left, jobs or sweeps.default_jobs(setting.device)) if left else 0.0
        rows.append((name, len(configs), len(here), len(there), len(missing), taken))
    return pd.DataFrame(rows, columns=LACKS)


def plans(setting: sweeps.Setting) -> dict[str, list[RunConfig]]:
    """Return the runs of each sweep; one that builds upon another's rows is left out until they are there.

    The profiles of the papers have their own sweeps and the figures'.
    """
    found = {}
    whole = setting.profile not in PAPER
    for name in (name for name in SWEEPS if whole or name == "figures" or SWEEPS.entry(name).facts.papers):
        with suppress(ConfigError):
            found[name] = sweeps.plan(name, setting)
    return found


def by_shelf(found: Contents) -> list[list[store.Run]]:
    """Return the stored runs of each shelf, those made here first."""
    return [[run for runs in places.values() for run in runs] for places in found.values()]


def expected(cfg: RunConfig, known: Sequence[Sequence[store.Run]]) -> float:
    """Return the seconds that a run will take: the median of those an epoch of the runs most like it, times its epochs.

    The first of ``known`` that holds a run of the same data, network and batch size answers: by this very run, else by
    those of its method, else by all of them; NaN where none does.
    """
    for runs in known:
        alike = [run for run in runs if all(getattr(run.config, name) == getattr(cfg, name) for name in ALIKE)]
        itself = [run for run in alike if run.config == cfg]
        if most := itself or [run for run in alike if run.config.method == cfg.method] or alike:
            return median(run.provenance["seconds"] / run.config.epochs for run in most) * cfg.epochs
    return math.nan


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return when the last of these runs ends, each taken in turn by the first of ``jobs`` that is free."""
    if any(math.isnan(value) for value in seconds):
        return math.nan
    free = [0.0] * jobs
    for value in seconds:
        heapq.heapreplace(free, free[0] + value)
    return max(free)


def _row(shelf: str, place: Path, runs: Sequence[store.Run]) -> tuple[str, str, int, int, int, int, float]:
    folders = sum(path.is_dir() for path in place.glob("[0-9a-f]*"))
    waiting, held = len(_hidden(place, "checkpoint")), sum(map(files.held, _hidden(place, "lock")))
    hours = round(sum(run.provenance["seconds"] for run in runs) / 3600, 2)
    return shelf, place.name, len(runs), folders - len(runs), waiting, held, hours


def _places(shelf: str) -> list[Path]:
    """Return the folders of a shelf that hold runs or checkpoints."""
    roots = {paths.results() / shelf, *([paths.ROOT / "results" / shelf] if shelf == "reference" else [])}
    folders = [place for root in roots for place in root.glob("*") if place.is_dir()]
    return sorted(place for place in folders if place.name not in BESIDE)


def _hidden(place: Path, kind: str) -> list[Path]:
    return sorted(place.glob(files.hidden(place, kind, "*").name))


def _held(configs: Sequence[RunConfig], places: Sequence[Path], found: Mapping[Path, Sequence[store.Run]]) -> set[str]:
    """Return the run ids of these configurations that lie finished at one of ``places``."""
    return {run.config.run_id for place in places for run in found.get(place, ())} & {cfg.run_id for cfg in configs}


def _left(cfg: RunConfig, known: Sequence[Sequence[store.Run]], place: Path) -> float:
    """Return the seconds that a run still takes, what its checkpoint holds being done."""
    epoch = _epoch(files.hidden(place, "checkpoint", cfg.run_id))[0] or 0
    return expected(cfg, known) * (1 - min(epoch / cfg.epochs, 1))


def _epoch(checkpoint: Path) -> tuple[int | None, float]:
    """Return the epochs and the seconds that a checkpoint holds; no epoch where it is missing or damaged."""
    try:
        kept = checkpoints.read(checkpoint)
    except ValueError:
        kept = None
    return (len(kept["state"]["history"]), float(kept["seconds"])) if kept else (None, math.nan)


def _unfinished(place: Path, path: Path, known: dict[str, RunConfig]) -> tuple[object, ...]:
    run_id = path.name.removeprefix(files.hidden(place, "checkpoint", "").name)
    cfg, (epoch, seconds) = known.get(run_id), _epoch(path)
    said = (cfg.method, cfg.noise, cfg.seed) if cfg else (None, None, None)
    return place.name, run_id, *said, epoch, cfg.epochs if cfg else None, seconds
