"""Robust deep learning under label noise, seen through the derivative of the loss with respect to the logits.

Importing the package fills the registries: every loss, weighting, target, noise, data set, model and sweep.
"""

from robustdl_lib import (
    config,
    data,
    gradients,
    losses,
    metrics,
    models,
    noise,
    objective,
    paths,
    registry,
    store,
    summary,
    sweeps,
    symbols,
    targets,
    train,
    weights,
)
from robustdl_lib.config import PROFILES, RunConfig

__all__ = [
    "PROFILES",
    "RunConfig",
    "config",
    "data",
    "gradients",
    "losses",
    "metrics",
    "models",
    "noise",
    "objective",
    "paths",
    "registry",
    "store",
    "summary",
    "sweeps",
    "symbols",
    "targets",
    "train",
    "weights",
]
