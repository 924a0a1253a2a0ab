"""One measured process: ``python -m benchmarks.child '{"kind": "sweep", ...}'`` trains, and prints how long it took."""

import json
import sys
from dataclasses import replace
from typing import Any

import torch

from benchmarks import ours
from benchmarks.setting import Cell
from benchmarks.throughput import plainly
from robustdl_lib.data import load, load_source
from robustdl_lib.training.compute import fastest

LEAST_RUNS = 2


def work(kind: str, at_once: int, everything: bool, cell: Cell) -> dict[str, Any]:
    """Train, and return images and seconds: a sweep of ours in the format it takes here, or a plain run."""
    source = load_source(cell.dataset)
    if kind == "plain":
        images, seconds, _ = plainly(cell.config(), load(cell.config(), source), workers=0)
        return {"images": images, "seconds": seconds}
    ours.sweep(Cell("digits", "resnet8", 128).sweep(at_once), load_source("digits"), at_once)  # processes start
    count, cfg = max(at_once, LEAST_RUNS), cell.config()
    form = fastest(cfg, torch.device("cpu"), source.images.shape[1:], len(source.classes))
    runs = ours.sweep(cell.sweep(count), source, at_once, everything=everything, form=replace(form, threads=1))
    images, seconds = ours.together(runs)
    return {"images": images, "seconds": seconds, "runs": count}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(work(**{**asked, "cell": Cell(**asked["cell"])})))
