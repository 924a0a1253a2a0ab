"""Your own images: a folder with a subfolder a class, or a csv of files and labels.

What they list, what is refused, and the data set that comes of it; the pixels are the :mod:`image_cache`'s.
"""

import csv
import difflib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from robustdl_lib.data.image_cache import Images, first_words, pixels
from robustdl_lib.data.raw import Source, statistics
from robustdl_lib.registry import DATASETS

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
class _Listing(Images):
    """The images of a folder or csv with a label each, and the classes."""

    labels: NDArray[np.int64]
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
    images, reasons = pixels(listing, size, keep_bad=unreadable == "skip")
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
    return _Listing(root, tuple(everything), names, labels.astype(np.int64), tuple(files))


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
    return _Listing(table, tuple(table.parent / name for name in names), tuple(names), labels, tuple(classes))


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
        raise BadImages(f"{table}: a csv in UTF-8 is expected, found {first_words(error)}") from None
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
