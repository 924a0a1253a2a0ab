"""Rows of runs that never were trained."""

import numpy as np
import pandas as pd

from robustdl_lib.report import dynamics


def rows(methods: tuple[str, ...] = ("cce", "ls:eps=0.25", "proselflc"), epochs: int = 4) -> pd.DataFrame:
    """Return rows of runs that never were, two seeds a method; the order of methods is that of the tuple."""
    parts = []
    for place, method in enumerate(methods):
        for seed in (0, 1):
            progress = np.arange(1, epochs + 1) / epochs
            base = {"run_id": f"{method}-{seed}", "method": method, "seed": seed, "noise": "symmetric:0.4"}
            base |= {"dataset": "digits", "model": "resnet8", "noise_rate": 0.4, "epoch": range(1, epochs + 1)}
            table = pd.DataFrame(base).assign(progress=progress, val_acc=progress)
            for at, name in enumerate(dynamics.MEASURED):
                table[name] = 0.1 + 0.1 * place + 0.05 * at + 0.02 * progress + 0.01 * seed
            parts.append(table)
    return pd.concat(parts, ignore_index=True)
