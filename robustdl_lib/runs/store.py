"""Runs on disk. A run is a folder named by its run id; it is complete or absent.

A folder is written under a temporary name and moved when whole. ``provenance.json``, written last, holds the
checksum of every other file: a folder cut short is named, ignored, and trained again.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from robustdl_lib import files, paths
from robustdl_lib.config import PROFILES, SPECS, RunConfig
from robustdl_lib.data import Data
from robustdl_lib.data.noise import draw_file
from robustdl_lib.training.compute import processor

FILES = ("config.json", "history.csv", "p_y.npz")
PROVENANCE = "provenance.json"
SHELVES = ("runs", "reference")
NO_COLUMNS = {"milestones", "record_every"}
"""Fields of a configuration that are no columns of its rows: a tuple, and what the epochs of the rows show."""
PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "matplotlib")


class DamagedRun(ValueError):
    """A run's folder that cannot be trusted; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Run:
    """A finished run as it lies on disk."""

    folder: Path
    config: RunConfig
    history: pd.DataFrame
    p_y: dict[str, NDArray[np.int64]]
    provenance: dict[str, Any]

    def frame(self) -> pd.DataFrame:
        """Return the history with the run id and the configuration as leading columns.

        The configured learning rate is ``peak_lr`` there: ``lr`` is the history's, epoch by epoch. ``noise_rate`` is
        the realised share of wrong labels.
        """
        values = self.config.model_dump(exclude=NO_COLUMNS)
        columns = {"run_id": self.config.run_id} | {{"lr": "peak_lr"}.get(name, name): values[name] for name in values}
        columns["noise_rate"] = self.provenance.get("noise_rate", math.nan)
        return pd.concat([pd.DataFrame(columns, index=self.history.index), self.history], axis=1)

    def p_y_frame(self) -> pd.DataFrame:
        """Return the p_y histograms as rows: epoch, subset, p (the middle of a bin), count."""
        frames = []
        for subset, counts in self.p_y.items():
            epochs, bins = np.indices(counts.shape)
            middle = (bins.ravel() + 0.5) / counts.shape[1]
            rows = {
                "epoch": self.history["epoch"].to_numpy()[epochs.ravel()],
                "subset": subset,
                "p": middle,
                "count": counts.ravel(),
            }
            frames.append(pd.DataFrame(rows))
        return pd.concat(frames, ignore_index=True).assign(run_id=self.config.run_id, method=self.config.method)


def save(
    shelf: Path, cfg: RunConfig, history: pd.DataFrame, p_y: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Run:
    """Write a finished run to ``shelf`` and return it as read back; an equal one that is already whole is kept.

    Raises OSError where the shelf cannot be written; nothing is left under the run's name then.
    """
    shelf.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=files.unfinished(cfg.run_id), dir=shelf))
    try:
        (part / "config.json").write_text(json.dumps(cfg.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
        history.to_csv(part / "history.csv", index=False, float_format="%.6g", lineterminator="\n")
        np.savez_compressed(part / "p_y.npz", allow_pickle=False, **{k: np.int32(v) for k, v in p_y.items()})
        record = {"run_id": cfg.run_id, **provenance, "sha256": {name: _sha256(part / name) for name in FILES}}
        (part / PROVENANCE).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        part.chmod(0o755)
        _sync(part)
        return _move_in_place(part, shelf / cfg.run_id)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read(folder: Path) -> Run:
    """Read a run, every file checked against its checksum; raises :class:`DamagedRun` naming the bad file."""
    run = _load(folder)
    if run.config.run_id != folder.name:
        raise DamagedRun(f"{folder / 'config.json'} describes run {run.config.run_id}, not {folder.name}")
    return run


def _load(folder: Path) -> Run:
    record = _provenance(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise DamagedRun(f"{folder / name} is missing")
        if _sha256(folder / name) != record["sha256"].get(name):
            raise DamagedRun(f"{folder / name} is not as it was written: it was cut short or changed")
    try:
        config = RunConfig(**json.loads((folder / "config.json").read_text()))
    except ValueError as error:
        raise DamagedRun(f"{folder / 'config.json'} cannot be used: {error}") from None
    history = pd.read_csv(folder / "history.csv")
    with np.load(folder / "p_y.npz", allow_pickle=False) as arrays:
        histograms = {name: arrays[name].astype(np.int64) for name in arrays.files}
    return Run(folder, config, history, histograms, record)


def find(cfg: RunConfig, shelf: Path | None = None) -> Run | None:
    """Return the finished run of ``cfg``, or None. A damaged one is named in a warning and counts as absent.

    Without ``shelf`` every profile's shelf is looked through, ``runs`` before ``reference``.
    """
    for place in [shelf] if shelf else list(_shelves()):
        if (folder := place / cfg.run_id).is_dir() and (run := _read_or_warn(folder)):
            return run
    return None


def all_runs(shelf: Path) -> list[Run]:
    """Return every whole run of a shelf, by run id; a damaged one is named in a warning and left out."""
    folders = sorted(path for path in shelf.glob("[0-9a-f]*") if path.is_dir()) if shelf.is_dir() else []
    return [run for folder in folders if (run := _read_or_warn(folder))]


def load_runs(shelf: str | None = None, profile: str | None = None, **where: Any) -> pd.DataFrame:
    """Return the rows of all finished runs, one an epoch, with the configuration as columns.

    ``shelf`` (``runs`` or ``reference``) and ``profile`` choose the place; a run that stands on both shelves is
    taken from ``runs``. ``where`` filters by a configuration's field: a value or a list of values, specs in any
    spelling. Raises ValueError for a field that a configuration does not have.
    """
    for value, known in ((shelf, SHELVES), (profile, PROFILES)):
        if value is not None and value not in known:
            raise ValueError(f"there is no {value!r}: there is {', '.join(known)}")
    unknown = sorted(set(where) - set(RunConfig.model_fields))
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}: there is {', '.join(RunConfig.model_fields)}")
    wanted = {name: _canonical(name, value) for name, value in where.items()}
    found: dict[str, Run] = {}
    for place in _shelves(shelf, profile):
        for run in all_runs(place):
            if all(getattr(run.config, name) in values for name, values in wanted.items()):
                found.setdefault(run.config.run_id, run)
    frames = [run.frame() for run in found.values()]
    return pd.concat(frames, ignore_index=True) if frames else no_rows()


def no_rows() -> pd.DataFrame:
    """Return what :func:`load_runs` returns when there is no run: its leading columns and no row."""
    names = [name for name in RunConfig.model_fields if name not in NO_COLUMNS]
    return pd.DataFrame(columns=["run_id", *({"lr": "peak_lr"}.get(name, name) for name in names), "noise_rate"])


def provenance(data: Data, device: torch.device, seconds: float) -> dict[str, Any]:
    """Return where a run's rows come from: :func:`origin`, and the seconds that it took."""
    return {**origin(data, device), "seconds": round(seconds, 2)}


def origin(data: Data, device: torch.device) -> dict[str, Any]:
    """Return what a run's bits depend on besides its configuration: code, versions, machine, data, realised noise."""
    return {
        **code_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {processor()}",
        "threads": torch.get_num_threads(),
        "data_sha256": data.data_sha256,
        "labels_sha256": data.labels_sha256,
        "noise_rate": round(data.noise.rate, 6),
    }


def sources(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a figure or table of these runs rests on: their configurations, code, data, machine, time."""
    names = ("git_revision", "device", "threads", "data_sha256", "versions")
    found = {name: [run.provenance.get(name) for run in runs] for name in names}
    unique = {
        name: [value for i, value in enumerate(values) if value not in values[:i]] for name, values in found.items()
    }
    configs = {run.config.run_id: json.loads(run.config.canonical_json()) for run in runs}
    return {"runs": configs, **unique, "seconds": round(sum(run.provenance["seconds"] for run in runs), 1)}


@cache
def code_version() -> dict[str, Any]:
    """Return the git revision (``+`` marks uncommitted changes) and the versions.

    Outside a checkout it is what ``ROBUSTDL_REVISION`` says, where the code was copied without its repository, or None.
    """
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {"git_revision": _git_revision() or os.environ.get("ROBUSTDL_REVISION"), "versions": versions}


def keep_noise(shelf: Path, cfg: RunConfig, data: Data) -> Path:
    """Keep the noise draw of (data set, noise, noise_seed) as a file beside the runs, and return its path.

    What it holds, and what raises ValueError or OSError: :func:`robustdl_lib.data.noise.draw_file.keep`. A split that
    decides which examples carry the noise is part of its name.
    """
    changed = data.noise.kind.any()
    return draw_file.keep(
        shelf / "noise" / f"{noise_name(cfg)}.npz",
        data.noise,
        dataset=cfg.dataset,
        spec=cfg.noise,
        seed=cfg.noise_seed,
        images_sha256=hashlib.sha256(data.train.pixels.numpy().data).hexdigest() if changed else None,
    )


def noise_name(cfg: RunConfig) -> str:
    """Return the name that a run's noise draw is kept under, without an ending.

    Specs with more than letters, digits and dots are told apart by a checksum.
    """
    words = [cfg.dataset, cfg.noise, str(cfg.noise_seed)]
    if (cfg.split, cfg.split_seed) != ("stratified", 0):
        words += [cfg.split, str(cfg.split_seed)]
    spec, plain = "-".join(words), re.sub(r"[^\w.=,-]", "_", "-".join(words))
    if plain == spec.replace(":", "_") and len(plain) <= 120:
        return plain
    return f"{plain[:100]}-{hashlib.sha256(spec.encode()).hexdigest()[:8]}"


def clear_leftovers(shelf: Path) -> int:
    """Remove what processes of this machine, now dead, left unfinished; return how much of it there was.

    The checkpoints of runs that are stored and the lock files that nobody holds go as well; other checkpoints stay.
    """
    stale = [part for part in shelf.glob(".part-*") if files.left_by_the_dead(part)]
    for part in stale:
        part.unlink() if part.is_file() else shutil.rmtree(part, ignore_errors=True)
    for checkpoint in shelf.glob(files.hidden(shelf, "checkpoint", "*").name):
        if _whole(shelf / checkpoint.name.removeprefix(".checkpoint-")):
            checkpoint.unlink(missing_ok=True)
    files.remove_free_locks(shelf, files.hidden(shelf, "lock", "*").name)
    return len(stale)


def _whole(folder: Path) -> bool:
    try:
        return read(folder).folder == folder
    except (DamagedRun, OSError):
        return False


def _move_in_place(part: Path, final: Path) -> Run:
    """Give ``part`` its name and return the run of that name.

    A whole run that is there is kept and returned; a damaged one makes room, whoever else is at it. What was
    moved is not read again: another writer may be putting an equal run in its place.
    """
    run = replace(_load(part), folder=final)
    for _ in range(100):
        try:
            part.rename(final)
            return run
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        try:
            return read(final)
        except (DamagedRun, FileNotFoundError):
            _remove(final)
    raise DamagedRun(f"{final} is damaged and cannot be replaced")


def _remove(folder: Path) -> None:
    """Take a folder away in one step, then delete it; nothing to do where another process was first."""
    aside = folder.with_name(files.unfinished(folder.name) + uuid.uuid4().hex)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)


def _provenance(folder: Path) -> dict[str, Any]:
    path = folder / PROVENANCE
    try:
        record = json.loads(path.read_text())
        if not isinstance(record["sha256"], dict) or "seconds" not in record:
            raise TypeError
    except OSError as error:
        raise DamagedRun(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise DamagedRun(f"{path} is not as it was written: it was cut short or changed") from None
    return record


def _read_or_warn(folder: Path) -> Run | None:
    try:
        return read(folder)
    except (DamagedRun, OSError) as error:
        warnings.warn(f"ignored, as if never trained: {error}", stacklevel=3)
        return None


def _shelves(shelf: str | None = None, profile: str | None = None) -> Iterator[Path]:
    for name in [shelf] if shelf else SHELVES:
        if profile:
            yield paths.shelf(name, profile)
        else:
            roots = {paths.results() / name, paths.ROOT / "results" / name if name == "reference" else None}
            yield from sorted(place for root in roots if root and root.is_dir() for place in root.iterdir())


def _canonical(name: str, value: Any) -> list[Any]:
    if name == "milestones":
        return [tuple(value)]
    values = list(value) if isinstance(value, list | tuple | set) else [value]
    if name in SPECS:
        return [getattr(RunConfig(**{name: item}), name) for item in values]
    return values


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync(folder: Path) -> None:
    """Push the files to the disk, so that a crash after the move cannot leave a whole name with empty files."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _git_revision() -> str | None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(paths.ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if not paths.is_checkout(paths.ROOT) or Path(git("rev-parse", "--show-toplevel")) != paths.ROOT:
            return None  # another project's repository
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "robustdl_lib") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
