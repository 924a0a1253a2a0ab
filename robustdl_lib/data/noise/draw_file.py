"""A noise draw as a file that can be handed on: labels, matrix, convention, seed and checksum.

Beside ``NAME.npz`` lies ``NAME.json``, which says the same in words and numbers to whoever opens it. Both are the same
bytes whenever the same draw is kept.
"""

import contextlib
import hashlib
import json
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robustdl_lib.data.noise.labels import KINDS, MISSING, NoisyLabels
from robustdl_lib.registry import NOISES

LABELS = ("labels", "clean")
COMPARED = (*LABELS, "transition", "kind", "sha256")


def sha256(labels: Tensor) -> str:
    """Return the checksum of labels [N]: SHA-256 over them as little-endian 64-bit integers."""
    return hashlib.sha256(labels.numpy().astype("<i8").tobytes()).hexdigest()


def record(
    noise: NoisyLabels, *, dataset: str, spec: str, seed: int, images_sha256: str | None = None
) -> dict[str, Any]:
    """Return what a draw is, in words and numbers: asked for and realised, convention, seed and checksum.

    The asked rate is the expected share of wrong labels under the asked matrix and these true labels; without a matrix
    it is the noise's own ``rate``, if it has one. Matrices have 6 digits.
    """
    parsed = NOISES.parse(spec)
    entry, asked = parsed.entry, None if noise.asked is None else noise.asked.numpy()
    return {
        "dataset": dataset,
        "noise": str(parsed),
        "convention": f"{entry.label}: {entry.source}",
        "seed": seed,
        "examples": len(noise.labels),
        "missing": int((noise.labels == MISSING).sum()),
        "kinds": {name.replace(" ", "_"): int((noise.kind == code).sum()) for code, name in enumerate(KINDS)},
        "asked": {"rate": _asked_rate(noise, parsed.values.get("rate")), "matrix": _digits(asked)},
        "realised": {"rate": round(noise.rate, 6), "matrix": _digits(noise.transition.numpy())},
        "sha256": sha256(noise.labels),
        "images_sha256": images_sha256,
        "licence": entry.facts.licence,
    }


def keep(path: Path, noise: NoisyLabels, **words: Any) -> Path:
    """Write a draw to ``path`` (.npz), its record beside it (.json), and return ``path``; words as in :func:`record`.

    The arrays are the given and the true labels [N], the realised matrix [C, C] and the kinds [N]; texts hold the
    record's words. Labels that come with a licence of their own are not copied: their checksum stands for them. A file
    that is there must hold the same draw: raises ValueError when it differs, since rows trained on the two could not
    be compared; one with three arrays, as they were kept before, is accepted. One that cannot be read is named in a
    warning and written again. Raises OSError where the place cannot be written.
    """
    found = record(noise, **words)
    return _keep(path, _arrays(noise, found), _text(found))


def adopt(path: Path, found: Path) -> Path:
    """Keep at ``path`` a draw that another machine wrote to ``found``, as :func:`keep` does; returns and raises alike.

    Raises ValueError also where ``found`` is not as it was written.
    """
    arrays = _read(found)
    if arrays is None:
        raise ValueError(f"{found.name} did not arrive as it was written")
    return _keep(path, arrays, found.with_suffix(".json").read_text())


def _keep(path: Path, arrays: dict[str, NDArray[Any]], text: str) -> Path:
    kept = _read(path) if path.is_file() else None
    if kept is None:
        _write(path, lambda part: np.savez_compressed(part, allow_pickle=False, **arrays))
    elif not _same(kept, arrays):
        raise ValueError(f"{path} holds another draw of this noise; runs trained on the two cannot be compared")
    beside = path.with_suffix(".json")
    if not beside.is_file() or beside.read_text() != text:
        _write(beside, lambda part: part.write_text(text))
    return path


def _arrays(noise: NoisyLabels, found: dict[str, Any]) -> dict[str, NDArray[Any]]:
    arrays = {name: getattr(noise, name).numpy() for name in (*LABELS, "transition", "kind")}
    if found["licence"]:
        arrays = {name: array for name, array in arrays.items() if name not in LABELS}
    words = {name: found[name] for name in ("dataset", "noise", "convention", "seed", "sha256")}
    return {**arrays, **{name: np.array(str(word)) for name, word in words.items()}, "rate": np.array(noise.rate)}


def _same(kept: dict[str, NDArray[Any]], arrays: dict[str, NDArray[Any]]) -> bool:
    """Compare what both hold; a file from before lacks the newer arrays, but not the labels."""
    if not {"labels", "sha256"} & set(kept):
        return False
    return all(np.array_equal(kept[name], arrays[name]) for name in COMPARED if name in kept and name in arrays)


def _asked_rate(noise: NoisyLabels, rate: float | None) -> float | None:
    if noise.asked is None:
        return rate
    wrong = noise.asked.sum(1) - noise.asked.diagonal()
    return round(float(wrong[noise.clean].mean()), 6) if len(noise.clean) else 0.0


def _digits(matrix: NDArray[np.float64] | None) -> list[list[float]] | None:
    return None if matrix is None else np.round(matrix, 6).tolist()


def _text(found: dict[str, Any]) -> str:
    """Write a record as JSON, a matrix's row on a line."""
    text, slots = dict(found), {}
    for name in ("asked", "realised"):
        text[name] = dict(found[name])
        if matrix := found[name]["matrix"]:
            slots[f'"@{name}"'] = "[\n   " + ",\n   ".join(map(json.dumps, matrix)) + "\n  ]"
            text[name]["matrix"] = f"@{name}"
    written = json.dumps(text, indent=1) + "\n"
    for slot, rows in slots.items():
        written = written.replace(slot, rows)
    return written


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error):
        warnings.warn(f"drawn again: {path} is not as it was written", stacklevel=4)
        return None


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under another name and move it in place when whole."""
    part = path.with_name(f".part-{uuid.uuid4().hex}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except OSError as error:
        raise OSError(f"cannot write to {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
