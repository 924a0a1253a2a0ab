"""Training without training: rows that depend on the configuration only, for tests of what is done with runs."""

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import robustdl_lib
from robustdl_lib import RunConfig
from robustdl_lib.data import Data
from robustdl_lib.methods.objective import build
from robustdl_lib.registry import Entry
from robustdl_lib.training.metrics import BINS
from robustdl_lib.training.train import COLUMNS, Trained

PACKAGE = str(Path(robustdl_lib.__file__).parent)


def is_ours(entry: Entry) -> bool:
    """Return whether a registered function is written in a file of the library."""
    return inspect.unwrap(entry.function).__code__.co_filename.startswith(PACKAGE)


def history(cfg: RunConfig) -> pd.DataFrame:
    """Return a history of ``cfg``: every column between 0 and 1, drawn with the run id as the seed."""
    epochs = [epoch for epoch in range(1, cfg.epochs + 1) if epoch % cfg.record_every == 0 or epoch == cfg.epochs]
    rng = np.random.default_rng(int(cfg.run_id, 16))
    rows = pd.DataFrame(rng.uniform(size=(len(epochs), len(COLUMNS))), columns=COLUMNS)
    return rows.assign(epoch=epochs, progress=[epoch / cfg.epochs for epoch in epochs], lr=cfg.lr)


def fit_into(trained: list[RunConfig]) -> Callable[..., Trained]:
    """Return what takes the place of ``train.fit``: it notes the configuration and returns made-up rows."""

    def fit(
        cfg: RunConfig,
        data: Data,
        on_epoch: Callable[[dict[str, float]], None] | None = None,
        on_logits: Callable[[int, Tensor], None] | None = None,
        checkpoint: object = None,
        form: object = None,
    ) -> Trained:
        trained.append(cfg)
        rows = history(cfg)
        for row in rows.to_dict("records"):
            if on_epoch:
                on_epoch(row)
            if on_logits:
                on_logits(row["epoch"], torch.zeros(len(data.train.labels), data.num_classes))
        counts = {subset: np.ones((len(rows), BINS), dtype=np.int64) for subset in ("clean", "wrong")}
        return Trained(rows, counts, nn.Identity(), build(cfg.method, data.num_classes))

    return fit
