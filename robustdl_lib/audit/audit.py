"""An audit of one's own data: which labels are likely wrong, which images fit no class, which are there twice.

Networks are cross-validated on the whole of a data set. Each says something of the examples that it was not trained
on (out of sample) and, epoch by epoch, of those that it was (training dynamics); both together rank the labels. The
result is a csv of all examples and one page with pictures of the suspects.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustdl_lib import data, files, paths
from robustdl_lib.audit import page as audit_page
from robustdl_lib.audit import suspects
from robustdl_lib.audit.page import AMBIGUOUS, FLAGS, OUTLIER, TWIN, WRONG, flags_of
from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.data import near_duplicates
from robustdl_lib.data.raw import Source
from robustdl_lib.files import record, write_all
from robustdl_lib.registry import DATASETS, METHODS, NOISES
from robustdl_lib.runs import store
from robustdl_lib.training import cross_validation
from robustdl_lib.training.compute import resolve_device

FILES = ("suspects.csv", "audit.html", "audit.json")
FOLDS = 5
METHOD = "gce"
"""With 10 % of the digits' labels wrong (asymmetric:0.2, ResNet-8, one seed) it finds more than CCE: recall 0.99
against 0.93. Where 40 % of a class are given one look-alike CCE ranks better: study ``data_centric``."""
STEPS = 500
"""Steps of the optimiser that a training should have, as the quick profile's; its epochs lie in EPOCHS."""
EPOCHS = (10, 60)
TWIN_DISTANCE = 0.1
"""Descriptors this near are near-duplicates: a correlation of 0.995 of the images' 8 x 8 areas."""
FAR = 3.5
"""A modified z-score above it is an outlier. Source: Iglewicz and Hoaglin 1993, section 3.3."""
PAIR, TWICE, HALF = 0.8, 2.0, 0.5
"""Ambiguous: two classes share PAIR of the probability, neither has TWICE the other's. Outlier: none has HALF."""
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Audit:
    """A finished audit: its ranked table of all examples, what was done and found in words, and where it is kept.

    ``quality`` is a row of :func:`robustdl_lib.audit.suspects.quality` where the truth is known, else empty.
    """

    cfg: RunConfig
    table: pd.DataFrame
    facts: Mapping[str, str]
    folder: Path
    quality: Mapping[str, Any] = field(default_factory=dict)


def run(
    dataset: str,
    *,
    method: str = METHOD,
    model: str = "resnet20",
    epochs: int | None = None,
    folds: int | None = None,
    seed: int = 0,
    noise: str = "none",
    examples: int | None = None,
    top: int = 200,
    into: Path | str | None = None,
    say: Say = print,
) -> Audit:
    """Audit a data set, write suspects.csv, audit.html and audit.json to a folder, and return what was found.

    dataset: a spec such as ``folder:PATH``; the rows looked at are those that train and validate, a test set that the
    data set comes with is left out. ``noise`` corrupts the labels first, to see how well it works here: the truth
    is known then. ``epochs`` and ``folds`` are chosen by the number of examples where they are not given, ``examples``
    looks at that many alone, ``top`` bounds the suspects on the page. ``say`` receives a line now and then.
    Raises, before any training and in one sentence, SpecError or ConfigError for a bad option, ValueError for data
    that cannot be cross-validated, and OSError for a folder that cannot be written, lies inside the audited one, or
    holds other files.
    """
    started = time.perf_counter()
    cfg = RunConfig(
        dataset=dataset, method=method, model=model, noise=noise, seed=seed, noise_seed=seed, examples=examples
    )
    resolve_device(cfg.device)
    if top < 1:
        raise ConfigError(f"top = {top}: the page shows at least one suspect")
    folder = _place(cfg, into)
    source, told = _load(cfg)
    loaded = data.load_whole(cfg, source)
    labels = loaded.train.labels.numpy()
    parts = _folds(labels, source.classes, folds)
    cfg = fitted(cfg, len(labels), parts, epochs)
    files.require_writable(folder)
    say(f"{len(labels)} images of {len(source.classes)} classes; {parts} trainings of {cfg.epochs} epochs")
    probs, watched = _crossed(cfg, loaded, parts, say)
    names = [source.files[row] if source.files else f"row {row}" for row in loaded.train.rows.tolist()]
    table = examine(loaded, names, probs, watched)
    quality = _quality(loaded, table) if cfg.noise != "none" else {}
    found = Audit(cfg, table, _facts(cfg, loaded, table, parts, told), folder, quality)
    shown = table.loc[to_show(table, top)]
    pictures = [_picture(cfg, source, loaded, row) for row in shown["row"]]
    _write(found, shown, pictures, store.provenance(loaded, resolve_device(cfg.device), time.perf_counter() - started))
    say(summary(found))
    return found


def summary(found: Audit) -> str:
    """Return what an audit found and where it lies, in a few lines."""
    return "\n".join([audit_page.lead(counts(found.table)), *_judged(found.quality), str(found.folder / "audit.html")])


def fitted(cfg: RunConfig, count: int, parts: int, epochs: int | None = None) -> RunConfig:
    """Return the configuration with a batch size, learning rate and epochs for ``count`` examples in ``parts`` folds.

    At least ten steps an epoch, up to 128 examples a step; the rate follows the square root of the batch size. Without
    ``epochs`` as many as make about 500 steps, 10 at least and 60 at most.
    """
    inside = count * (parts - 1) // parts
    batch = int(np.clip(inside // 10, 4, cfg.batch_size))
    steps = -(-inside // batch)
    chosen = int(np.clip(round(STEPS / steps), *EPOCHS)) if epochs is None else epochs
    return cfg.replace(batch_size=batch, lr=round(cfg.lr * (batch / cfg.batch_size) ** 0.5, 4), epochs=chosen)


def examine(
    loaded: data.Data, names: list[str], probs: NDArray[np.float64], watched: cross_validation.Watched
) -> pd.DataFrame:
    """Return what networks said of each example as a table, the most suspicious first.

    probs [N, C] out of sample and the watched dynamics of the N examples that train, names [N]. Columns: ``rank`` from
    1, ``row`` in the data set, ``file``, ``given`` and ``suggested`` class, out-of-sample ``p_y``, ``entropy``
    (normalised) and largest probability ``max_p``, ``mean_p_y`` over all epochs, by which it is ranked, ``flags`` and,
    for a near-duplicate, its ``twin``; ``true``, the true class, where it differs anywhere.

    A label is likely wrong if the mean probabilities over time and the out-of-sample ones both prefer other classes.
    An image is ambiguous if out of sample two classes share 80 % and neither has twice the other's probability; a
    possible outlier if no class has half and no two share 80 %, or if it stands alone: the distance to its nearest
    image has a modified z-score above 3.5; a near-duplicate if another image's descriptor is within 0.1.
    """
    split = loaded.train
    labels, classes = split.labels.numpy(), np.array([*loaded.classes, "none"])
    suggested = suspects.suggest(watched.mean)
    flagged, twins = _flags(labels, probs, watched, split.pixels[split.rows].numpy())
    table = pd.DataFrame(
        {
            "row": split.rows.numpy(),
            "file": names,
            "given": classes[labels],
            "suggested": classes[suggested],
            "p_y": suspects.given(probs, labels),
            "mean_p_y": suspects.dynamics(watched.p_given),
            "entropy": suspects.entropy(probs),
            "max_p": probs.max(axis=1),
            "flags": ["; ".join(flag for flag in FLAGS if flagged[flag][i]) for i in range(len(labels))],
            "twin": [_twin(twins.get(i), labels[i], labels, names, classes) for i in range(len(labels))],
        }
    )
    if bool(split.mislabelled.any()):
        table["true"] = classes[split.clean_labels.numpy()]
    table = table.iloc[suspects.ranking(table["mean_p_y"].to_numpy())].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def to_show(table: pd.DataFrame, top: int) -> list[int]:
    """Return the places of the examples for the page, increasing.

    The first ``top`` likely wrong ones, and a quarter as many of each other kind; where nothing is flagged, the first
    dozen of the ranking.
    """
    chosen: set[int] = set()
    for flag in FLAGS:
        places = np.flatnonzero(flags_of(table, flag))
        chosen |= set(places[: top if flag == WRONG else max(1, top // 4)].tolist())
    return sorted(chosen or range(min(12, top, len(table))))


def _flags(
    labels: NDArray[np.int64], probs: NDArray[np.float64], watched: cross_validation.Watched, pixels: NDArray[np.uint8]
) -> tuple[dict[str, NDArray[np.bool_]], dict[int, int]]:
    first, second = np.sort(probs, axis=1)[:, :-3:-1].T
    pair = first + second >= PAIR
    described = near_duplicates.features(pixels)
    twins = _twins(described)
    flagged = {
        WRONG: suspects.contradicted(labels, watched.mean) & suspects.contradicted(labels, probs),
        OUTLIER: (first < HALF) & ~pair | _alone(described),
        AMBIGUOUS: pair & (first < TWICE * second),
        TWIN: np.isin(np.arange(len(labels)), list(twins)),
    }
    return flagged, twins


def _twins(described: NDArray[np.float32]) -> dict[int, int]:
    """Return the nearest near-duplicate of each example that has one, the first of equals."""
    pairs, apart = near_duplicates.near_duplicates(described, distance=TWIN_DISTANCE)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.lexsort((both[:, 1], np.concatenate([apart, apart]), both[:, 0]))
    return {int(i): int(j) for i, j in both[order][::-1]}


def _alone(described: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which images are far from every other: modified z-score of the nearest distance above 3.5."""
    from sklearn.neighbors import NearestNeighbors

    if len(described) < 3:
        return np.zeros(len(described), dtype=bool)
    near = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(described).kneighbors()[0][:, 0]
    spread = np.median(np.abs(near - np.median(near)))
    return np.asarray(0.6745 * (near - np.median(near)) > FAR * spread) if spread else np.zeros(len(near), dtype=bool)


def _twin(other: int | None, label: int, labels: NDArray[np.int64], names: list[str], classes: NDArray[Any]) -> str:
    if other is None:
        return ""
    return names[other] + (f", given {classes[labels[other]]}" if labels[other] != label else "")


def _place(cfg: RunConfig, into: Path | str | None) -> Path:
    """Return the folder to write to, once nothing of the user's can be harmed there."""
    spec = DATASETS.parse(cfg.dataset)
    looked_at = spec.values.get("path")
    changed = "" if cfg.noise == "none" else f"_{cfg.noise}"
    default = paths.results() / "audits" / files.file_name(_name(cfg) + changed)
    folder = (default if into is None else Path(into)).expanduser().absolute()
    if looked_at and folder.resolve().is_relative_to(Path(looked_at).expanduser().resolve()):
        raise ConfigError(f"{folder} lies inside the audited {looked_at}: choose another folder for the report")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and a folder is needed for the report: choose another")
    others = sorted(path.name for path in folder.iterdir() if path.name not in FILES) if folder.is_dir() else []
    if others:
        raise ConfigError(f"{folder} holds other files ({others[0]}): choose an empty folder for the report")
    return folder


def _name(cfg: RunConfig) -> str:
    """Return what to call the data: the last part of a path, else the spec."""
    spec = DATASETS.parse(cfg.dataset)
    path = spec.values.get("path")
    return Path(path).expanduser().resolve().name if path else str(spec)


def _load(cfg: RunConfig) -> tuple[Source, list[str]]:
    """Return the data set, and what its loader warned of, such as images that cannot be read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source = data.load_source(cfg.dataset)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=3)
    return source, [str(warning.message) for warning in caught]


def _folds(labels: NDArray[np.int64], classes: tuple[str, ...], wanted: int | None) -> int:
    """Return the number of folds: what is wanted, else 5 or as many as the smallest class has examples."""
    cross_validation.require_labels(labels)
    present = np.bincount(labels, minlength=len(classes))
    smallest = min((count, name) for count, name in zip(present.tolist(), classes, strict=True) if count)
    parts = min(FOLDS, smallest[0]) if wanted is None else wanted
    if not 2 <= parts <= smallest[0]:
        found = f"{smallest[0]} labelled {smallest[1]!r}" + (f" and {wanted} folds" if wanted is not None else "")
        raise ValueError(f"an audit needs 2 folds or more and an example of each class in every fold, found {found}")
    return parts


def _crossed(
    cfg: RunConfig, loaded: data.Data, parts: int, say: Say
) -> tuple[NDArray[np.float64], cross_validation.Watched]:
    """Cross-validate, with a line at each training's end and every ten seconds."""
    started = last = time.perf_counter()

    def tell(fold: int, row: dict[str, float]) -> None:
        nonlocal last
        now, done = time.perf_counter(), fold - 1 + row["progress"]
        if row["epoch"] == cfg.epochs or now - last > 10:
            last, left = now, (now - started) * (parts - done) / done
            more = f", about {left:.0f} s left" if left >= 1 else ""
            agreed = f"{row['val_acc']:.0%} of the labels left out are predicted"
            say(f"training {fold} of {parts}, epoch {row['epoch']:.0f} of {cfg.epochs}: {agreed}{more}")

    return cross_validation.cross(cfg, loaded, parts, tell)


def _quality(loaded: data.Data, table: pd.DataFrame) -> dict[str, Any]:
    """Return how well the ranking and the flags found the labels that are known to be wrong."""
    wrong = pd.Series(loaded.train.mislabelled.numpy(), index=loaded.train.rows.numpy())[table["row"]].to_numpy()
    scores = {"audit": table["mean_p_y"].to_numpy()}
    row = suspects.quality(scores, wrong, {"audit": flags_of(table, WRONG)}).iloc[0].to_dict()
    clean = table["true"] if "true" in table else table["given"]
    right = (table["suggested"] == clean).to_numpy()
    hit = flags_of(table, WRONG) & wrong
    row["acted"] = int(row["acted"])
    return row | {"wrong": int(wrong.sum()), "corrected": float(right[hit].mean()) if hit.any() else np.nan}


def _judged(quality: Mapping[str, Any]) -> list[str]:
    """Say how right an audit is, where the truth is known."""
    if not quality:
        return []
    if not quality["wrong"]:
        return ["The truth is known here: no label is wrong, so there is nothing to find."]
    numbers = {name: f"{100 * quality[name]:.1f} %" for name in ("precision", "recall", "corrected")}
    return [
        f"The truth is known here: {quality['wrong']} labels are wrong. Of those flagged {numbers['precision']} are "
        f"wrong (precision), of the wrong ones {numbers['recall']} are flagged (recall), for {numbers['corrected']} of "
        f"these the true class is suggested; AUROC of the ranking {quality['auroc']:.3f}."
    ]


def counts(table: pd.DataFrame) -> dict[str, int]:
    """Return how many examples an audit's table holds, and of how many the given label was the likeliest out of sample,
    and how many carry each flag.
    """
    found = {"examples": len(table), "predicted": int((table["p_y"] == table["max_p"]).sum())}
    return found | {flag: int(flags_of(table, flag).sum()) for flag in FLAGS}


def _facts(cfg: RunConfig, loaded: data.Data, table: pd.DataFrame, parts: int, told: list[str]) -> dict[str, str]:
    """Return what was done, in words for the page."""
    labels = loaded.train.labels.numpy()
    method, numbers = METHODS.parse(cfg.method), counts(table)
    facts = {
        "data": f"{cfg.dataset}: {len(labels)} images, {len(loaded.classes)} classes",
        "trained by": f"{method.label} ({method.entry.source}), {cfg.model}, seed {cfg.seed}",
        "trainings": f"{parts}, of {cfg.epochs} epochs with {cfg.batch_size} images a step, each without one fold",
        "predicted out of sample": f"{100 * numbers['predicted'] / len(labels):.1f} % of the given labels",
    }
    if cfg.noise != "none":
        facts["noise, to try the audit"] = f"{cfg.noise}, {100 * loaded.noise.rate:.1f} % of the labels"
    return facts | ({"left out": "; ".join(told)} if told else {})


def _picture(cfg: RunConfig, source: Source, loaded: data.Data, row: int) -> bytes:
    """Return an example's picture: from its file where there is one, else from its pixels as the network sees them."""
    path = DATASETS.parse(cfg.dataset).values.get("path")
    if path and source.files and not NOISES.parse(cfg.noise).entry.facts.changes_images:
        place = Path(path).expanduser()
        with contextlib.suppress(OSError, ValueError):
            return audit_page.thumbnail((place if place.is_dir() else place.parent) / source.files[row])
    return audit_page.png(loaded.train.pixels[row].numpy(), source.scale)


def _write(found: Audit, shown: pd.DataFrame, pictures: list[bytes], provenance: Mapping[str, Any]) -> None:
    """Write the three files, all or none half-written."""
    rows = found.table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode(errors="replace")
    numbers, title = counts(found.table), f"Audit of {_name(found.cfg)}"
    page = audit_page.page(title, found.facts, shown, pictures, counts=numbers, remarks=_judged(found.quality))
    said = {"config": found.cfg.model_dump(mode="json"), "facts": dict(found.facts), "counts": numbers}
    said |= {"quality": {name: value for name, value in found.quality.items() if value == value}}
    contents = {"suspects.csv": rows, "audit.html": page.encode(errors="replace")}
    write_all(contents | {"audit.json": record({**said, "provenance": dict(provenance)}, rows)}, found.folder)
