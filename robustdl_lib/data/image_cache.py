"""Images of any size, decoded and resized once: an array in the cache, opened as a memory map.

All the processes of a sweep share it. It is made anew when a file changes, and when the cache is damaged.
"""

import contextlib
import hashlib
import json
import os
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from robustdl_lib import files, paths

FORMAT = 1
"""Part of a cache's key: to be raised when the same files are to give other pixels."""
CHUNK_BYTES = 2**25
"""What is decoded at a time, before it goes to disk."""


@dataclass(frozen=True)
class Images:
    """What is to be read: ``place`` (the folder or csv that lists them), the files in order, and a name each."""

    place: Path
    files: tuple[Path, ...]
    names: tuple[str, ...]


def pixels(listed: Images, size: int, *, keep_bad: bool) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return the readable images [n, 3, size, size] in order, from the cache if it holds them, and why others are not.

    Where the cache cannot be written they are kept in memory, with a warning: every process then decodes its own.
    A listing with bad files is kept only if the caller goes on without them.
    """
    place = paths.cache() / "images"
    name = f"{_digest(str(listed.place.absolute()))[:12]}-{size}-"
    cached = place / f"{name}{_key(listed, size)[:24]}.json"
    if (found := _open(cached, size)) and (keep_bad or not found[1]):
        return found
    try:
        files.require_writable(place)
        bad = _write(cached, listed, size, keep_bad=keep_bad)
    except OSError as error:
        warnings.warn(f"resized images are not kept: {first_words(error)}", stacklevel=5)
    else:
        if bad and not keep_bad:
            return np.empty((0, 3, size, size), dtype=np.uint8), bad
        _remove_older(place, name, cached.stem)
        if found := _open(cached, size):
            return found
    parts = list(_decoded(listed, size))
    return np.concatenate([images for images, _ in parts]), {k: v for _, bad in parts for k, v in bad.items()}


def _remove_older(place: Path, name: str, stem: str) -> None:
    """Remove what the cache held of the same place before it changed, and what a killed process left."""
    old = [path for path in place.glob(f"{name}*") if path.stem != stem]
    with contextlib.suppress(OSError):  # another process may be faster
        old += [path for path in place.glob(".part-*") if time.time() - path.stat().st_mtime > 3600]
        for path in old:
            path.unlink(missing_ok=True)


def _key(listed: Images, size: int) -> str:
    """Name what the pixels depend on: each file's name, length and times of change, the size, Pillow's version."""
    stats = [(str(file), *_times(file)) for file in listed.files]
    return _digest(json.dumps([FORMAT, PIL.__version__, size, stats]))


def _times(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:  # a link to nothing: it will be named when it is read
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _open(cached: Path, size: int) -> tuple[NDArray[np.uint8], dict[str, str]] | None:
    """Return what a cache holds, or None where there is none or it is not what was written."""
    pixels = cached.with_suffix(".u8")
    try:
        record = json.loads(cached.read_text())
        rows, reasons = int(record["rows"]), dict(record["unreadable"])
        with pixels.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != record["sha256"]:
                return None
        shape = (rows, 3, size, size)
        if pixels.stat().st_size != np.prod(shape, dtype=int):
            return None
        empty = np.empty(shape, dtype=np.uint8)
        # Copy on write: the pages are shared by all processes, and torch takes the array without a warning.
        return (np.memmap(pixels, dtype=np.uint8, mode="c", shape=shape) if rows else empty), reasons
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(cached: Path, listed: Images, size: int, *, keep_bad: bool) -> dict[str, str]:
    """Decode everything into the cache and return why some files cannot be read.

    Pixels first, then the record that names their checksum, each moved when whole. They are written in pieces, not
    through a memory map: on a full disk that would kill the process.
    """
    digest, rows = hashlib.sha256(), 0
    reasons: dict[str, str] = {}
    with _part(cached) as part:
        with part.open("wb") as file:
            for images, bad in _decoded(listed, size):
                file.write(images.tobytes())
                digest.update(images.tobytes())
                rows += len(images)
                reasons |= bad
        if reasons and not keep_bad:
            return reasons
        part.replace(cached.with_suffix(".u8"))
        record = {"sha256": digest.hexdigest(), "rows": rows, "unreadable": reasons, "of": str(listed.place)}
        part.write_text(json.dumps(record, indent=1))
        part.replace(cached)
    return reasons


@contextlib.contextmanager
def _part(cached: Path) -> Iterator[Path]:
    """Give a name beside ``cached`` to write to; what lies there at the end is removed."""
    part = cached.with_name(f".part-{uuid.uuid4().hex}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _decoded(listed: Images, size: int) -> Iterator[tuple[NDArray[np.uint8], dict[str, str]]]:
    """Yield the images in order, some at a time, and why others cannot be read; a thread a processor decodes them."""
    step = max(64, CHUNK_BYTES // (3 * size * size))
    shown = tqdm(total=len(listed.files), desc=f"reading {listed.place.name}", unit="image", disable=None)
    with shown, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for start in range(0, len(listed.files), step):
            batch = listed.files[start : start + step]
            images = np.zeros((len(batch), 3, size, size), dtype=np.uint8)
            reasons = list(threads.map(partial(_decode_into, images), range(len(batch)), batch))
            good = [row for row, reason in enumerate(reasons) if not reason]
            bad = {listed.names[start + row]: reason for row, reason in enumerate(reasons) if reason}
            shown.update(len(batch))
            yield (images if not bad else images[good]), bad


def _decode_into(images: NDArray[np.uint8], row: int, file: Path) -> str:
    """Put one image into its row, and return "" or why that cannot be."""
    try:
        if not file.stat().st_size:
            return "it is empty"
        size = images.shape[-1]
        with Image.open(file) as opened:
            opened.draft(None, (4 * size, 4 * size))  # a photograph in JPEG is decoded at a fraction, many times faster
            square = rgb(opened).resize((size, size), Image.Resampling.BICUBIC)
    except PIL.UnidentifiedImageError:
        return "no known format"
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        return first_words(error)
    images[row] = np.asarray(square).transpose(2, 0, 1)
    return ""


def rgb(image: Image.Image) -> Image.Image:
    """Return an image upright and in RGB: 16 bits a pixel scaled to 8, what is transparent white.

    Raises ValueError for pixels that are fractions.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of which none is known to be white")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def first_words(error: Exception) -> str:
    """Return an error's first sentence, without a full stop."""
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    return text.split("\n", 1)[0].split(". ", 1)[0].rstrip(".")
