"""Rows to draw that never were trained, and what a figure shows of them."""

import numpy as np
import pandas as pd

EPOCHS, BINS = 4, 5
MEASURED = ("test_acc", "val_acc", "clean_acc", "fit_wrong", "corrected", "p_clean", "p_wrong")
MORE = ("entropy_clean", "entropy_wrong")


SPECS = ("cce", "dm", "boot_soft:eps=0.5")


def one_run(method, noise, seed):
    """Return the rows of a run that never was; its numbers differ by method, seed, epoch and column."""
    rng = np.random.default_rng([*map(ord, method), seed, len(noise)])
    rows = pd.DataFrame({"epoch": range(1, EPOCHS + 1), "progress": np.arange(1, EPOCHS + 1) / EPOCHS})
    rows = rows.assign(run_id=f"{method}-{noise}-{seed}", noise=noise, method=method, seed=seed)
    rows = rows.assign(dataset="digits", model="resnet8", epochs=EPOCHS, trust=0.0)
    rows = rows.assign(**{column: rng.uniform(0.2, 0.9, EPOCHS) for column in (*MEASURED, *MORE)})
    if "boot" in method:
        rows["trust"] = rng.uniform(0.2, 0.8, EPOCHS)
    return rows.assign(fit_wrong=np.nan, corrected=np.nan) if noise == "none" else rows


def run_rows(specs=SPECS, noise="symmetric:0.4", seeds=(0, 1)):
    runs = [one_run(spec, noise, seed) for spec in specs for seed in seeds]
    return pd.concat([*runs, *(one_run("cce", "none", seed) for seed in seeds)], ignore_index=True)


def histogram_rows(specs=SPECS, seeds=(0, 1)):
    index = pd.MultiIndex.from_product(
        [range(1, EPOCHS + 1), ["clean", "wrong"], (np.arange(BINS) + 0.5) / BINS], names=["epoch", "subset", "p"]
    )
    empty = pd.DataFrame(index=index).reset_index()
    counts = np.random.default_rng(0).integers(0, 50, (len(specs), len(seeds), len(empty)))
    runs = [
        empty.assign(count=counts[i, j], run_id=f"{spec}-{seed}", method=spec)
        for i, spec in enumerate(specs)
        for j, seed in enumerate(seeds)
    ]
    clean = empty.assign(count=empty["subset"].eq("clean") * 7, run_id="clean", method="cce")
    return pd.concat([*runs, clean], ignore_index=True)


def drawn(figure, gid):
    """Return the data of the only line with this gid in each panel that has one."""
    lines = [line for ax in figure.axes for line in ax.lines if line.get_gid() == gid]
    assert lines, f"{gid} is not drawn"
    return lines


def close(line, x, y):
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), x, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), y, rtol=1e-9)
