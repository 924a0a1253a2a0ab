"""The page of an audit: one HTML file without a network, with a picture of each suspect and what is said of it.

Every word that comes from the data, a file's or a class's name, is escaped; numbers are the only data that the
page's script reads.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from numpy.typing import NDArray
from PIL import Image

from robustdl_lib.data.image_cache import rgb

WRONG, OUTLIER, AMBIGUOUS, TWIN = "likely wrong label", "possible outlier", "ambiguous", "near-duplicate"
FLAGS = (WRONG, OUTLIER, AMBIGUOUS, TWIN)
TRUSTED = 0.5
"""Share of the given labels that the networks must predict out of sample before their flags are taken at their word."""
TEMPLATE = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
).get_template("audit.html")
SIDE = 120
"""Pixels of a picture's longer side on the page."""
ORDERS = {
    "rank 1": "most suspicious first",
    "py 1": "p_y, lowest first",
    "mean 1": "mean p_y over time, lowest first",
    "entropy -1": "entropy, highest first",
    "max 1": "largest p, lowest first",
    "max -1": "largest p, highest first",
}
SCORES = {"py": ("p_y", "p_y"), "mean": ("mean_p_y", "p_y over time"), "entropy": ("entropy", "entropy")}
SCORES |= {"max": ("max_p", "largest p")}
READING = (
    "Every network is trained without a fold of the data. p_y is the probability of the given label for the network "
    "that never saw it, largest p that of the likeliest class, entropy how undecided it is (0 certain, 1 no idea). "
    "“p_y over time” averages, over all epochs, what the networks that were trained on a label said of it: a wrong one "
    "is contradicted for long. A suspect is a question, not a verdict: look at the picture."
)


def page(
    title: str,
    facts: Mapping[str, str],
    table: pd.DataFrame,
    pictures: Sequence[bytes],
    *,
    counts: Mapping[str, int],
    remarks: Sequence[str] = (),
) -> str:
    """Return the page as one HTML document, the same text for the same input.

    table: the suspects to show, in their order, with the columns rank, file, given, suggested, p_y, mean_p_y,
    entropy, max_p, flags (names of :data:`FLAGS` parted by "; ") and twin; pictures: a PNG for each. ``counts`` holds
    the number of ``examples`` that were audited, of those ``predicted`` out of sample and of those with each flag;
    ``remarks`` are said below them. Raises
    ValueError where table and pictures do not go together.
    """
    if len(table) != len(pictures):
        raise ValueError(f"a page needs a picture a suspect, found {len(pictures)} for {len(table)}")
    classes = sorted(set(table["given"]), key=natural)
    number = {name: index for index, name in enumerate(classes)}
    rows = table.to_dict("records")
    return TEMPLATE.render(
        title=title,
        lead=lead(counts),
        remarks=remarks,
        facts=facts,
        reading=READING,
        pairs=_confused(table),
        classes={"": "all classes"} | {str(number[name]): name for name in classes},
        flags={"": "anything"} | {str(i): flag for i, flag in enumerate(FLAGS) if flags_of(table, flag).any()},
        orders=ORDERS,
        heading=_heading(table, counts),
        cards=[_card(row, number[row["given"]], picture) for row, picture in zip(rows, pictures, strict=True)],
    )


def png(pixels: NDArray[np.uint8], scale: float) -> bytes:
    """Return an image [channels, H, W] of 1 or 3 channels, white at ``scale``, as a PNG; small ones enlarged."""
    values = np.clip(pixels.astype(np.float64) * (255.0 / scale), 0, 255).round().astype(np.uint8)
    image = Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))
    return _encoded(image)


def thumbnail(path: Path) -> bytes:
    """Return the image of a file as a PNG of at most SIDE pixels a side, upright; raises OSError where it has none.

    Its colours are those that the network sees; raises ValueError as :func:`robustdl_lib.data.image_cache.rgb`.
    """
    with Image.open(path) as opened:
        image = rgb(opened)
    image.thumbnail((SIDE, SIDE))
    return _encoded(image)


def natural(name: str) -> tuple[Any, ...]:
    """Return a key that sorts names as a reader does, 2 before 10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def _encoded(image: Image.Image) -> bytes:
    times = max(1, SIDE // max(image.size)) if max(image.size) < SIDE / 2 else 1
    if times > 1:
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def lead(counts: Mapping[str, int]) -> str:
    """Return what was found in one or two sentences: counts of ``examples``, ``predicted`` and of each flag.

    Networks that predicted less than :data:`TRUSTED` of the labels have found nothing, and that is said instead.
    """
    if counts["predicted"] < TRUSTED * counts["examples"]:
        return (
            f"The networks learnt too little to judge these {counts['examples']} labels: they predicted only "
            f"{counts['predicted'] / counts['examples']:.0%} of them without having seen them. Train longer "
            "(--epochs), a larger network (--model), or on more images; until then the flags mean little."
        )
    words = {OUTLIER: ("possible outlier", "s"), AMBIGUOUS: ("ambiguous image", "s"), TWIN: ("near-duplicate", "s")}
    more = [f"{counts[flag]} {one}{s * (counts[flag] != 1)}" for flag, (one, s) in words.items() if counts[flag]]
    verb = "label is" if counts[WRONG] == 1 else "labels are"
    first = f"Of {counts['examples']} images, {counts[WRONG] or 'no'} {verb} likely wrong."
    return f"{first} Besides: {', '.join(more)}." if more else first


def flags_of(table: pd.DataFrame, flag: str) -> NDArray[np.bool_]:
    """Return which rows of an audit's table carry a flag: [N] of True and False."""
    return table["flags"].map(lambda text: flag in text.split("; ")).to_numpy(dtype=bool)


def _heading(table: pd.DataFrame, counts: Mapping[str, int]) -> str:
    if not counts[WRONG]:
        return "Not suspected of a wrong label, but worth a look"
    shown = int(flags_of(table, WRONG).sum())
    return "Suspects" if shown == counts[WRONG] else f"The first {shown} of {counts[WRONG]} likely wrong labels"


def _confused(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Return the ten most frequent pairs of given and suggested class among the likely wrong, with their numbers."""
    pairs = table[flags_of(table, WRONG)].groupby(["given", "suggested"], sort=True).size()
    pairs = pairs.sort_values(ascending=False, kind="stable").head(10)
    return [(given, suggested, count) for (given, suggested), count in pairs.items()]


def _card(row: Mapping[str, Any], number: int, picture: bytes) -> dict[str, Any]:
    """Return a suspect for the template: its row, its picture, its flags by number, and its scores as text."""
    flags = [flag for flag in FLAGS if flag in row["flags"].split("; ")]
    return {
        **row,
        "number": number,
        "agrees": row["given"] == row["suggested"],
        "tags": [(FLAGS.index(flag), flag, row["twin"] if flag == TWIN else "") for flag in flags],
        "wrong": WRONG in flags,
        "data": {key: f"{row[column]:.6g}" for key, (column, _) in SCORES.items()},
        "scores": [(name, f"{row[column]:.3f}") for column, name in SCORES.values()],
        "picture": base64.b64encode(picture).decode(),
    }
