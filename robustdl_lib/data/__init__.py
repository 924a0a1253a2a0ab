"""Data as a run sees them: loaded, split and with their noise drawn."""

from robustdl_lib.data.augment import augment, crop, draw_crops
from robustdl_lib.data.loading import (
    Data,
    Split,
    held_out,
    load,
    load_source,
    load_whole,
    training_rows,
)

__all__ = [
    "Data",
    "Split",
    "augment",
    "crop",
    "draw_crops",
    "held_out",
    "load",
    "load_source",
    "load_whole",
    "training_rows",
]
