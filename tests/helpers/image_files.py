"""Small image files of one's own, and how they are loaded."""

from pathlib import Path

import numpy as np
from PIL import Image

from robustdl_lib import paths
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import DATASETS

SIDE = 8


def picture(seed: int, side: int = SIDE) -> Image.Image:
    """Return noise in RGB, the same for the same seed."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def make(root: Path, classes: tuple[str, ...] = ("cat", "dog", "eel"), count: int = 3, side: int = SIDE) -> Path:
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(100 * place + index, side).save(root / name / f"{index}.png")
    return root


def load(spec: str) -> Source:
    parsed = DATASETS.parse(spec)
    return parsed.entry.function(**parsed.knobs)


def cached() -> list[Path]:
    return sorted((paths.cache() / "images").glob("*"))
