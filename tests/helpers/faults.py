"""A sweep in a process of its own that is hit at a chosen point: what ``test_faults.py`` starts and then looks at.

``FAULT`` in the environment says what happens. Each step of a ``mortal`` run leaves a byte in the file ``steps``, so
that a test can tell a run that went on from one that began anew, and one that was trained from one that was not.
"""

import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

from robustdl_lib import losses, paths, store, sweeps
from robustdl_lib.config import RunConfig
from robustdl_lib.registry import METHODS, SWEEPS

EPOCHS, STEPS, HIT = 3, 4, 7
"""A run has 3 epochs of 4 steps; it is hit at its 7th step, the third of the second epoch."""
taken: list[int] = []
"""A mark for each step of a mortal run in this process."""


def mortal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy, with a mark for each step, and a fault at the 7th step of this process."""
    with (paths.results() / "steps").open("ab") as file:
        file.write(b".")
    taken.append(1)
    if len(taken) == HIT:
        AT_A_STEP.get(os.environ.get("FAULT", ""), lambda: None)()
    return losses.cce(logits, target)


def faults(*, setting: sweeps.Setting) -> list[RunConfig]:
    """A mortal run of 256 examples for each seed, and one of cross entropy."""
    mortals = setting.configs(["mortal"], examples=256, batch_size=64)
    return mortals + setting.configs(["cce"], examples=256, batch_size=64)[:1]


def run(jobs: int, seeds: list[int]) -> None:
    """Run the sweep, on one thread a process whatever this machine has; each epoch ends with a checkpoint."""
    sweeps.cpu_count = lambda: jobs
    sweeps.run("faults", "smoke", jobs, quiet=True, epochs=EPOCHS, seeds=seeds, checkpoint_every=0)


def register() -> None:
    """Enter the method and the sweep in their tables."""
    if "mortal" not in METHODS:
        METHODS.register("mortal", label="Mortal", source="a test", role="loss")(mortal)
        SWEEPS.register("faults", label="faults", source="a test")(faults)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)  # what watches the parent ends this process long before


def kill_parent_in_mid_write() -> None:
    """Let the second process that comes here hang in its next checkpoint, and the first then kill the parent."""
    try:
        (paths.results() / "killer").touch(exist_ok=False)
    except FileExistsError:
        os.fsync = hang
        return
    deadline = time.monotonic() + 60
    while not (paths.results() / "hanging").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    kill_parent()


def hang(file: int) -> None:
    (paths.results() / "hanging").touch()
    time.sleep(60)


def fill_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


def die_at_the_second_checkpoint() -> None:
    """Die when the second file is to be pushed to the disk, of which only a half is there by then."""
    calls: list[int] = []
    honest = os.fsync

    def fsync(file: int) -> None:
        calls.append(file)
        if len(calls) == 2:
            os.ftruncate(file, os.fstat(file).st_size // 2)
            die()
        honest(file)

    os.fsync = fsync


def die_at_the_last_file() -> None:
    """Die with a half of the file on the disk that makes a run whole."""
    honest = Path.write_text

    def write_text(path: Path, text: str, *more: object) -> int:
        if path.name == store.PROVENANCE:
            honest(path, text[: len(text) // 2])
            die()
        return honest(path, text, *more)

    Path.write_text = write_text


def wait_for_the_other() -> None:
    """Go on from where a sweep knows what is missing only when two processes have come so far."""
    honest = store.clear_leftovers

    def clear_leftovers(shelf: Path) -> int:
        (paths.results() / f"ready-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(paths.results().glob("ready-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return honest(shelf)

    store.clear_leftovers = clear_leftovers


def lose_rights() -> None:
    """Make the results read-only for this process: a folder's mode does not bind the superuser."""
    paths.results().chmod(0o555)
    if os.geteuid() == 0:
        os.setuid(65534)


AT_A_STEP = {
    "worker": die,
    "parent": kill_parent,
    "parent in mid-write": kill_parent_in_mid_write,
    "disk": fill_disk,
    "one of two": die,
}
AT_THE_START = {
    "checkpoint": die_at_the_second_checkpoint,
    "last file": die_at_the_last_file,
    "one of two": wait_for_the_other,
    "other of two": wait_for_the_other,
    "read only": lose_rights,
}


def main(fault: str, jobs: int, seeds: list[int], results: str, says: Connection) -> None:
    """Run the sweep in this process, which is a fresh one, under a fault; what it says goes through the pipe."""
    os.dup2(says.fileno(), 2)
    os.environ.update(FAULT=fault, ROBUSTDL_RESULTS=results)
    torch.set_num_threads(1)
    register()
    AT_THE_START.get(fault, lambda: None)()
    run(jobs, seeds)
