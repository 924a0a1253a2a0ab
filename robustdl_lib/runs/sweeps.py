"""Many runs: a name becomes a list of configurations, and what the store lacks is trained, several at a time."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
from joblib import cpu_count
from tqdm import tqdm

from robustdl_lib import files, paths
from robustdl_lib.config import PAPER, ConfigError, RunConfig
from robustdl_lib.data import Data, load, load_source
from robustdl_lib.data.raw import Source
from robustdl_lib.parallel import beside, on_threads, spread
from robustdl_lib.registry import SWEEPS
from robustdl_lib.runs import dask_engine, dask_worker, store
from robustdl_lib.runs.setting import METHODS_SHOWN as METHODS_SHOWN
from robustdl_lib.runs.setting import SEEDS as SEEDS
from robustdl_lib.runs.setting import Setting as Setting
from robustdl_lib.training import checkpoint as checkpoints
from robustdl_lib.training.compute import Format, fastest, resolve_device
from robustdl_lib.training.step import TrainingFailed
from robustdl_lib.training.train import fit

OnEpoch = Callable[[dict[str, float]], None]
Call = tuple[RunConfig, Path, Source]


class SweepFailed(RuntimeError):
    """Runs that did not finish; the message names the first and says what is kept."""


def plan(name: str, setting: Setting) -> list[RunConfig]:
    """Return the configurations of a sweep, each once; raises SpecError for an unknown sweep."""
    return list(dict.fromkeys(SWEEPS.parse(name).entry.function(setting=setting)))


def run(
    name: str = "figures",
    profile: str = "quick",
    jobs: int | None = None,
    *,
    shelf: str = "runs",
    into: str = "runs",
    quiet: bool = False,
    checkpoint_every: float = checkpoints.EVERY,
    engine: str = "local",
    address: str | None = None,
    **setting: Any,
) -> pd.DataFrame:
    """Train what the store lacks of a sweep and return the rows of all its runs, in the sweep's order.

    Runs are looked for on ``shelf``, then on ``into``, where the missing ones are stored: with
    ``shelf="reference"`` the committed rows serve and only what they lack is trained. ``jobs`` processes work at
    a time (by default one a core), each with its share of threads; ``setting`` as in :class:`Setting`. A run is
    stored the moment it ends, and what it has learnt is kept on the way, at the end of an epoch when
    ``checkpoint_every`` seconds have passed since the last time (0: after every epoch), so that a sweep stopped at any
    time goes on from there. Of sweeps on one store at once each run is trained by one of them. With the engine ``dask``
    the workers of the cluster at ``address`` train instead, at most ``jobs`` at a time, each on the threads it was
    given. Raises ValueError (ConfigError, SpecError) before any work for a bad setting, engine or address, and where
    the papers' networks would train on a processor that was not asked for; OSError when the store cannot be written or
    nothing answers at the address, :class:`SweepFailed` when a run failed, a process was killed or the cluster went
    away, after the others were finished.
    """
    dask_engine.check(engine, address)
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs must be at least 1, found {jobs}")
    checkpoints.require_interval(checkpoint_every)
    chosen = Setting(profile=profile, **setting)
    configs, places = plan(name, chosen), shelves(name, chosen.home, shelf, into)
    missing = lacking(configs, places)
    if missing:
        _require_gpu(chosen, len(missing), engine)
        how: dict[str, Any] = {"checkpoint_every": checkpoint_every, "engine": engine, "address": address}
        train_all(missing, places[-1], jobs, quiet=quiet, **how)
    return rows(found(configs, places))


def _require_gpu(setting: Setting, count: int, engine: str) -> None:
    """Refuse to train the papers' networks on a processor, where a run takes hours, unless it was asked for."""
    unasked = setting.device == "auto" and engine == "local" and resolve_device("auto").type == "cpu"
    if setting.profile in PAPER and unasked:
        raise ConfigError(
            f"{count} runs of the profile {setting.profile} wait for a GPU, and there is none: --device cpu trains "
            f"them all the same, hours a run; make figures PROFILE={setting.profile} draws the committed rows"
        )


def shelves(name: str, profile: str, shelf: str = "runs", into: str = "runs") -> list[Path]:
    """Return where the runs of a sweep are looked for, the last being where new ones go; ``profile`` as in ``home``.

    A sweep that sets more than a :class:`Setting` is kept ``apart``, so that rows of a profile can be averaged.
    """
    own = f"{profile}_{name}" if SWEEPS.entry(name).facts.apart else profile
    return [paths.shelf(shelf, profile), paths.shelf(shelf, own), paths.shelf(into, own, writing=True)]


def found(configs: Sequence[RunConfig], places: Sequence[Path]) -> list[store.Run]:
    """Return the finished run of each configuration, from the first of ``places`` that holds it."""
    runs = [next((run for place in places if (run := store.find(cfg, place))), None) for cfg in configs]
    return [run for run in runs if run]


def lacking(configs: Sequence[RunConfig], places: Sequence[Path]) -> list[RunConfig]:
    """Return the configurations that none of ``places`` holds a finished run of."""
    there = {run.config.run_id for run in found(configs, places)}
    return [cfg for cfg in configs if cfg.run_id not in there]


def rows(runs: Sequence[store.Run]) -> pd.DataFrame:
    """Return the rows of ``runs``, in their order."""
    frames = [run.frame() for run in runs]
    return pd.concat(frames, ignore_index=True) if frames else store.no_rows()


def held(name: str, profile: str = "quick", *, shelf: str = "reference", **setting: Any) -> pd.DataFrame:
    """Return the rows of those runs of a sweep that a shelf holds; nothing is trained, and there may be none.

    Raises SpecError for an unknown sweep and ConfigError for a bad setting.
    """
    chosen = Setting(profile=profile, **setting)
    return rows(found(plan(name, chosen), shelves(name, chosen.home, shelf)))


def train_all(
    configs: Sequence[RunConfig],
    shelf: Path,
    jobs: int | None = None,
    *,
    quiet: bool = False,
    checkpoint_every: float = checkpoints.EVERY,
    engine: str = "local",
    address: str | None = None,
) -> None:
    """Train each configuration and store it; raises :class:`SweepFailed` at the end when some did not finish."""
    files.require_writable(shelf)
    store.clear_leftovers(shelf)
    sources = {name: load_source(name) for name in dict.fromkeys(cfg.dataset for cfg in configs)}
    calls = [(cfg, shelf, sources[cfg.dataset]) for cfg in configs]
    attempt = partial(_attempt, every=checkpoint_every)
    failures: list[str] = []
    with _progress(len(configs), quiet) as done:
        try:
            for cfg, outcome in _outcomes(attempt, calls, jobs, engine, address):
                done.update()
                done.set_postfix_str(f"{cfg.method} {outcome}", refresh=False)
                failures += [f"{cfg.method} on {cfg.noise}, seed {cfg.seed}: {outcome}"] * isinstance(outcome, str)
        except BrokenProcessPool:
            failures.append("a training process was killed")
        except (dask_engine.ClusterLost, dask_worker.WorkerRefused) as error:
            failures.insert(0, str(error))
        finally:
            store.clear_leftovers(shelf)  # a killed sweep's workers may have been at work when this one began
    if failures:
        kept = "what was finished is kept, and the same command trains only the rest"
        raise SweepFailed(f"the sweep is not complete: {failures[0]}; {kept}")


def train_one(
    cfg: RunConfig,
    shelf: Path,
    on_epoch: OnEpoch | None = None,
    source: Source | None = None,
    *,
    checkpoint_every: float = checkpoints.EVERY,
    wait: bool = True,
) -> float:
    """Train one configuration, store it, and return its last test accuracy; ``on_epoch`` sees each row.

    ``source`` is the data set where it is in memory already. A run that is stored by now is not trained again, one
    that was stopped goes on from its checkpoint. While another process trains it, its end is waited for; raises
    :class:`~robustdl_lib.files.Busy` then if not ``wait``, and what :func:`~robustdl_lib.training.train.fit` and the
    store raise.
    """
    with files.locked(files.hidden(shelf, "lock", cfg.run_id), wait=wait):
        run = store.find(cfg, shelf) or _trained(cfg, shelf, on_epoch, source, checkpoint_every)
    return float(run.history["test_acc"].iloc[-1])


def _trained(
    cfg: RunConfig,
    shelf: Path,
    on_epoch: OnEpoch | None,
    source: Source | None,
    every: float,
) -> store.Run:
    """Train and store a run, whatever the store holds; a checkpoint of it is used, and removed when it is over."""
    started, data, device = perf_counter(), load(cfg, source), resolve_device(cfg.device)
    store.keep_noise(shelf, cfg, data)
    form = fastest(cfg, device, data.train.pixels.shape[1:], data.num_classes)
    with on_threads(form.threads):
        checkpoint = _checkpoint(cfg, shelf, data, form, every, started)
        try:
            trained = fit(cfg, data, on_epoch, checkpoint=checkpoint, form=form)
        except TrainingFailed:
            checkpoint.remove()  # it could only fail again
            raise
        provenance = store.provenance(data, device, checkpoint.seconds())
    run = store.save(shelf, cfg, trained.history, trained.p_y, {**provenance, "format": asdict(form)})
    checkpoint.remove()
    return run


def _checkpoint(
    cfg: RunConfig, shelf: Path, data: Data, form: Format, every: float, started: float
) -> checkpoints.Checkpoint:
    origin = {
        "run_id": cfg.run_id,
        **store.origin(data, resolve_device(cfg.device)),
        "format": asdict(form),
        "code_sha256": checkpoints.code_sha256(cfg.method),
    }
    return checkpoints.Checkpoint(files.hidden(shelf, "checkpoint", cfg.run_id), origin, every, started)


def default_jobs(device: str) -> int:
    """Return how many runs work at a time: one a core, or up to eight on a GPU."""
    return cpu_count() if resolve_device(device).type == "cpu" else min(8, cpu_count())


def _outcomes(
    attempt: dask_worker.Attempt, calls: Sequence[Call], jobs: int | None, engine: str, address: str | None
) -> Iterator[tuple[RunConfig, Any]]:
    """Yield what ``attempt`` returns of each call, as they end, from where the engine runs them."""
    if engine == "dask":
        return dask_worker.spread(partial(attempt, wait=True), calls, str(address), jobs)
    jobs = jobs or default_jobs(calls[0][0].device)
    threads = max(1, cpu_count() // jobs)  # of the jobs asked for: a resumed sweep computes as the first did
    with on_threads(threads):  # measured here, once: the processes then find what was chosen
        for cfg, _, source in calls:
            fastest(cfg, resolve_device(cfg.device), source.images.shape[1:], len(source.classes))
    return _here(attempt, calls, jobs, threads)


def _here(
    attempt: dask_worker.Attempt, calls: Sequence[Call], jobs: int, threads: int
) -> Iterator[tuple[RunConfig, Any]]:
    """Yield each run's outcome as it ends; those that another sweep is at come last, when it is done with them."""
    busy = set()
    for cfg, outcome in _spread(attempt, calls, jobs, threads):
        if outcome is None:
            busy.add(cfg.run_id)
        else:
            yield cfg, outcome
    if left := [call for call in calls if call[0].run_id in busy]:
        yield from _spread(partial(attempt, wait=True), left, jobs, threads)


def _spread(
    attempt: dask_worker.Attempt, calls: Sequence[Call], jobs: int, threads: int
) -> Iterator[tuple[RunConfig, Any]]:
    """Yield the outcome of each call as it ends: runs share a GPU as threads, a processor as processes."""
    if resolve_device(calls[0][0].device).type == "cuda":
        return beside(attempt, calls, jobs)
    return spread(attempt, calls, jobs, threads, ordered=False)


def _attempt(cfg: RunConfig, shelf: Path, source: Source, every: float, wait: bool = False) -> tuple[RunConfig, Any]:
    """Train one run; return its accuracy in per cent, or in words why it failed; None where another sweep is at it."""
    try:
        return cfg, round(100 * train_one(cfg, shelf, source=source, checkpoint_every=every, wait=wait), 1)
    except files.Busy:
        return cfg, None
    except (TrainingFailed, ValueError, OSError) as error:
        return cfg, str(error)
    except Exception as error:  # a mistake in a loss of one's own costs its run, not the sweep
        return cfg, f"{type(error).__name__}: {error}"


def _progress(total: int, quiet: bool) -> tqdm:
    """A bar on a terminal; a line every half minute elsewhere; nothing when quiet."""
    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, desc="training", unit="run", disable=quiet, mininterval=interval, maxinterval=interval)
