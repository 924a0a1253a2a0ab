"""Your own images: a folder with a subfolder a class, or a csv of files and labels.

Every image is decoded and resized once. The array lies in the cache and is opened as a memory map, so that all the
processes of a sweep share it; it is made anew when a file changes, and when the cache is damaged.
"""

import contextlib
import csv
import difflib
import hashlib
import json
import os
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import AfterValidator, Field
from tqdm import tqdm

from robustdl_lib import paths
from robustdl_lib.registry import DATASETS
from robustdl_lib.sources import Source, statistics

FORMAT = 1
"""Part of a cache's key: to be raised when the same files are to give other pixels."""
CHUNK_BYTES = 2**25
"""What is decoded at a time, before it goes to disk."""
SYSTEM = ("Thumbs.db", "desktop.ini")
NAMED = 10
"""How many names a warning lists."""
LEAST = 2
"""Examples that a class needs: one to learn from and one to be judged by."""


def _speakable(text: str) -> str:
    if "," in text or text != text.strip() or not text:
        raise ValueError(
            f"{text!r} holds a comma, is empty, or begins or ends with a space, which a spec such as"
            " folder:path=PATH,size=32 cannot say, since a comma parts its knobs: give it another name, or a link to it"
        )
    return text


Word = Annotated[str, AfterValidator(_speakable)]
Size = Annotated[int, Field(ge=4, le=1024)]
Unreadable = Literal["refuse", "skip"]


class BadImages(ValueError):
    """A folder or csv of images that cannot be used as it is; the message says what is wrong, and what to do."""


@dataclass(frozen=True)
class _Listing:
    """What is to be read: ``place`` (the folder or csv), the files in order, a label and a name each, the classes."""

    place: Path
    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    classes: tuple[str, ...]


@DATASETS.register(
    "folder", label="folder of images", source="your own images, a subfolder a class", flips={}, pad=4, flip=True
)
def folder(*, path: Word, size: Size = 32, unreadable: Unreadable = "refuse") -> Source:
    """Images of a folder: each subfolder is a class, in the alphabetical order of their names.

    Any size, mode and format that Pillow reads -> RGB, uint8 [N, 3, size, size], the whole image squeezed into the
    square; its EXIF orientation is respected, what is transparent becomes white, of a film the first picture is
    taken. Subfolders of a class belong to it; hidden files and Thumbs.db are passed over. In training they are
    cropped after padding by 4 and mirrored. Raises :class:`BadImages`, in one sentence, for a folder that is not
    there, fewer than two classes, a class with fewer than two images, and a file that is no image, unless
    ``unreadable=skip`` goes on with the rest and warns.
    """
    return _source(_list_folder(Path(path).expanduser()), size, unreadable)


@DATASETS.register(
    "csv", label="csv of images", source="your own images, a row of a csv each", flips={}, pad=4, flip=True
)
def csv_file(
    *, path: Word, file: Word = "file", label: Word = "label", size: Size = 32, unreadable: Unreadable = "refuse"
) -> Source:
    """Images of a csv with a column of files, relative to the csv's folder, and one of labels: words or numbers.

    Classes are in alphabetical order, or in that of the numbers where all labels are whole numbers. The images are
    read as by :func:`folder`. Raises :class:`BadImages`, in one sentence, for a csv that is not there, lacks a
    column or a label, names a file that is not there, or names one twice.
    """
    return _source(_list_csv(Path(path).expanduser(), file, label), size, unreadable)


def _source(listing: _Listing, size: int, unreadable: str) -> Source:
    _require_examples(listing, range(len(listing.files)))
    images, reasons = _pixels(listing, size, keep_bad=unreadable == "skip")
    if reasons and unreadable == "refuse":
        raise BadImages(_refusal(listing.place, reasons))
    if reasons:
        shown = ", ".join(list(reasons)[:NAMED]) + (", ..." if len(reasons) > NAMED else "")
        warnings.warn(f"{listing.place}: left out as unreadable, {len(reasons)} in all: {shown}", stacklevel=4)
    kept = [row for row, name in enumerate(listing.names) if name not in reasons]
    _require_examples(listing, kept)
    mean, std = statistics(images, 255.0)
    return Source(
        images=images,
        labels=listing.labels[kept],
        pool=np.arange(len(kept)),
        test=np.arange(0),
        classes=listing.classes,
        scale=255.0,
        mean=mean,
        std=std,
        files=tuple(listing.names[row] for row in kept),
    )


def _require_examples(listing: _Listing, rows: Sequence[int]) -> None:
    """Refuse fewer than two classes, and a class with too few images among ``rows``."""
    if len(listing.classes) < 2:
        found = f"the one class {listing.classes[0]!r}" if listing.classes else "none"
        raise BadImages(f"{listing.place}: at least two classes are needed to tell apart, found {found}")
    counts = Counter(listing.labels[list(rows)].tolist())
    few = {name: counts[label] for label, name in enumerate(listing.classes) if counts[label] < LEAST}
    for name, count in few.items():
        found = "one image" if count else "no image that can be read"
        raise BadImages(
            f"{listing.place}: class {name!r} has {found}{_others(len(few) - 1, 'class', 'classes')}, and a class needs"
            f" at least {LEAST}, since a stratified split puts one to learn from and one to be judged by on either side"
        )


def _refusal(place: Path, reasons: Mapping[str, str]) -> str:
    name, reason = next(iter(reasons.items()))
    return (
        f"{place}: {name} cannot be read as an image ({reason}){_others(len(reasons) - 1, 'file', 'files')}: mend or"
        " remove what is bad, or go on with the rest by unreadable=skip"
    )


def _others(count: int, one: str, many: str) -> str:
    return f", and {count} other {one if count == 1 else many} likewise" if count else ""


def _list_folder(root: Path) -> _Listing:
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise BadImages(f"{root}: a folder with a subfolder for each class is expected there, found {found}")
    inside = sorted((entry for entry in _entries(root) if entry.is_dir()), key=lambda entry: entry.name)
    above = root.resolve()
    classes = [entry for entry in inside if not above.is_relative_to(entry.resolve())]
    if not classes:
        raise BadImages(f"{root}: no subfolders, and each class is expected to have one with its images")
    files = {entry.name: _files(entry) for entry in classes}
    if empty := [name for name, found in files.items() if not found]:
        others = _others(len(empty) - 1, "subfolder", "subfolders")
        raise BadImages(
            f"{root}: subfolder {empty[0]!r} holds no image{others}, and each is a class: fill or remove it"
        )
    everything = [file for found in files.values() for file in found]
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in files.values()])
    names = tuple(file.relative_to(root).as_posix() for file in everything)
    return _Listing(root, tuple(everything), labels.astype(np.int64), names, tuple(files))


def _entries(where: Path) -> Iterator[Path]:
    """Yield what lies in a folder, without what a system puts there for itself."""
    return (entry for entry in where.iterdir() if not entry.name.startswith(".") and entry.name not in SYSTEM)


def _files(where: Path) -> list[Path]:
    """Return the files under a class's folder by name; a link to a folder further down is not followed."""
    found: list[Path] = []
    for entry in _entries(where):
        if entry.is_dir():
            found += [] if entry.is_symlink() else _files(entry)
        else:
            found.append(entry)
    return sorted(found)


def _list_csv(table: Path, file: str, label: str) -> _Listing:
    rows = _read_rows(table, file, label)
    names = [os.path.normpath(name) for _, name, _ in rows]
    if missing := [(line, name) for line, name, _ in rows if not (table.parent / name).is_file()]:
        line, name = missing[0]
        others = _others(len(missing) - 1, "file", "files")
        raise BadImages(f"{table}: line {line} names {name!r}, which is not a file in {table.parent}{others}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        others = _others(len(twice) - 1, "file", "files")
        raise BadImages(f"{table}: {twice[0]!r} is named more than once{others}, so that it could both train and test")
    classes = _in_order({word for _, _, word in rows})
    place = {word: index for index, word in enumerate(classes)}
    labels = np.array([place[word] for _, _, word in rows], dtype=np.int64)
    return _Listing(table, tuple(table.parent / name for name in names), labels, tuple(names), tuple(classes))


def _read_rows(table: Path, file: str, label: str) -> list[tuple[int, str, str]]:
    """Return line, file and label of each row of a csv: comma, semicolon or tab, in UTF-8."""
    if not table.is_file():
        found = "a folder" if table.is_dir() else "nothing"
        raise BadImages(f"{table}: a csv with the columns {file} and {label} is expected there, found {found}")
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            head = lines.readline()
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=max(",;\t", key=head.count), strict=True)
            _require_columns(table, [file, label], reader.fieldnames or ())
            rows = [(reader.line_num, (row[file] or "").strip(), (row[label] or "").strip()) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadImages(f"{table}: a csv in UTF-8 is expected, found {_first_words(error)}") from None
    if lacking := [line for line, *words in rows if not all(words)]:
        others = _others(len(lacking) - 1, "line", "lines")
        raise BadImages(f"{table}: line {lacking[0]} lacks its {file} or its {label}{others}: fill or remove it")
    if not rows:
        raise BadImages(f"{table}: a line for each image is expected, found only the names of the columns")
    return rows


def _require_columns(table: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    for column in (column for column in wanted if column not in found):
        close = difflib.get_close_matches(column, found, n=1, cutoff=0.5)
        hint = f", did you mean {close[0]!r}?" if close else ""
        knobs = "name yours by file=NAME and label=NAME"
        raise BadImages(f"{table}: no column {column!r}, it has {', '.join(found) or 'none'}{hint} ({knobs})")


def _in_order(words: set[str]) -> list[str]:
    if all(word.removeprefix("-").isdecimal() and str(int(word)) == word for word in words):
        return sorted(words, key=int)
    return sorted(words)


def _pixels(listing: _Listing, size: int, *, keep_bad: bool) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return the readable images [n, 3, size, size] in order, from the cache if it holds them, and why others are not.

    Where the cache cannot be written they are kept in memory, with a warning: every process then decodes its own.
    A listing with bad files is kept only if the caller goes on without them.
    """
    place = paths.cache() / "images"
    name = f"{_digest(str(listing.place.absolute()))[:12]}-{size}-"
    cached = place / f"{name}{_key(listing, size)[:24]}.json"
    if (found := _open(cached, size)) and (keep_bad or not found[1]):
        return found
    try:
        paths.require_writable(place)
        bad = _write(cached, listing, size, keep_bad=keep_bad)
    except OSError as error:
        warnings.warn(f"resized images are not kept: {_first_words(error)}", stacklevel=5)
    else:
        if bad and not keep_bad:
            return np.empty((0, 3, size, size), dtype=np.uint8), bad
        _remove_older(place, name, cached.stem)
        if found := _open(cached, size):
            return found
    parts = list(_decoded(listing, size))
    return np.concatenate([images for images, _ in parts]), {k: v for _, bad in parts for k, v in bad.items()}


def _remove_older(place: Path, name: str, stem: str) -> None:
    """Remove what the cache held of the same place before it changed, and what a killed process left."""
    old = [path for path in place.glob(f"{name}*") if path.stem != stem]
    with contextlib.suppress(OSError):  # another process may be faster
        old += [path for path in place.glob(".part-*") if time.time() - path.stat().st_mtime > 3600]
        for path in old:
            path.unlink(missing_ok=True)


def _key(listing: _Listing, size: int) -> str:
    """Name what the pixels depend on: each file's name, length and times of change, the size, Pillow's version."""
    stats = [(str(file), *_times(file)) for file in listing.files]
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


def _write(cached: Path, listing: _Listing, size: int, *, keep_bad: bool) -> dict[str, str]:
    """Decode everything into the cache and return why some files cannot be read.

    Pixels first, then the record that names their checksum, each moved when whole. They are written in pieces, not
    through a memory map: on a full disk that would kill the process.
    """
    digest, rows = hashlib.sha256(), 0
    reasons: dict[str, str] = {}
    with _part(cached) as part:
        with part.open("wb") as file:
            for images, bad in _decoded(listing, size):
                file.write(images.tobytes())
                digest.update(images.tobytes())
                rows += len(images)
                reasons |= bad
        if reasons and not keep_bad:
            return reasons
        part.replace(cached.with_suffix(".u8"))
        record = {"sha256": digest.hexdigest(), "rows": rows, "unreadable": reasons, "of": str(listing.place)}
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


def _decoded(listing: _Listing, size: int) -> Iterator[tuple[NDArray[np.uint8], dict[str, str]]]:
    """Yield the images in order, some at a time, and why others cannot be read; a thread a processor decodes them."""
    step = max(64, CHUNK_BYTES // (3 * size * size))
    shown = tqdm(total=len(listing.files), desc=f"reading {listing.place.name}", unit="image", disable=None)
    with shown, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for start in range(0, len(listing.files), step):
            files = listing.files[start : start + step]
            images = np.zeros((len(files), 3, size, size), dtype=np.uint8)
            reasons = list(threads.map(partial(_decode_into, images), range(len(files)), files))
            good = [row for row, reason in enumerate(reasons) if not reason]
            bad = {listing.names[start + row]: reason for row, reason in enumerate(reasons) if reason}
            shown.update(len(files))
            yield (images if not bad else images[good]), bad


def _decode_into(images: NDArray[np.uint8], row: int, file: Path) -> str:
    """Put one image into its row, and return "" or why that cannot be."""
    try:
        if not file.stat().st_size:
            return "it is empty"
        size = images.shape[-1]
        with Image.open(file) as opened:
            opened.draft(None, (4 * size, 4 * size))  # a photograph in JPEG is decoded at a fraction, many times faster
            square = _rgb(ImageOps.exif_transpose(opened)).resize((size, size), Image.Resampling.BICUBIC)
    except PIL.UnidentifiedImageError:
        return "no known format"
    except Exception as error:  # Pillow's readers raise whatever a damaged file makes them stumble over
        return _first_words(error)
    images[row] = np.asarray(square).transpose(2, 0, 1)
    return ""


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB: 16 bits a pixel scaled to 8, what is transparent white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are fractions, of which none is known to be white")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _first_words(error: Exception) -> str:
    """Return an error's first sentence, without a full stop."""
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    return text.split("\n", 1)[0].split(". ", 1)[0].rstrip(".")
