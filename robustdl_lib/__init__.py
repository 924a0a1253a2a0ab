"""Robust deep learning under label noise, seen through the derivative of the loss with respect to the logits.

The public modules, from their rooms. The registries fill themselves: the first look-up imports the room that fills a
table.
"""

from importlib import import_module
from types import ModuleType

from robustdl_lib import config, data, paths, registry
from robustdl_lib.config import PROFILES, RunConfig
from robustdl_lib.data import noise
from robustdl_lib.methods import losses, objective, targets, weights
from robustdl_lib.report import summary
from robustdl_lib.runs import store, sweeps
from robustdl_lib.theory import gradients
from robustdl_lib.training import metrics, models, train

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
    "plots",
    "registry",
    "store",
    "summary",
    "sweeps",
    "symbols",
    "targets",
    "train",
    "weights",
]

LAZY = {"plots": "robustdl_lib.plots", "symbols": "robustdl_lib.theory.symbols"}


def __getattr__(name: str) -> ModuleType:
    """Import ``plots`` and ``symbols`` when they are first used: matplotlib and sympy take long to import."""
    if name in LAZY:
        return import_module(LAZY[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
