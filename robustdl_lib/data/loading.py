"""Data as a run sees them: split, with noise drawn once, one copy of the pixels for all runs and processes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustdl_lib.config import ConfigError, RunConfig
from robustdl_lib.data import near_duplicates, splits
from robustdl_lib.data.noise import NoisyLabels, cifar_n, corrupt, corrupted_images, describe
from robustdl_lib.data.raw import Normal, Source, sha256
from robustdl_lib.registry import DATASETS, NOISES, Spec

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Some rows of a data set: labels as given [N], true labels [N] (-1 where no class is right), and their images.

    ``pixels`` [M, channels, H, W] uint8 holds the whole data set and is shared by all splits; ``rows`` [N] says
    which of them are this split's; ``kind`` [N] is 0 for an ordinary example, 1 for one out of distribution, 2 for
    an ambiguous one.
    """

    pixels: Tensor
    rows: Tensor
    labels: Tensor
    clean_labels: Tensor
    kind: Tensor
    normal: Normal

    @property
    def mislabelled(self) -> Tensor:
        return (self.labels != self.clean_labels) & (self.labels >= 0)

    @property
    def images(self) -> Tensor:
        """All images [N, channels, H, W], normalised float32: made anew at each call."""
        return self.batch(slice(None))

    def batch(self, index: Tensor | slice) -> Tensor:
        """Return the images of some of the split's examples, normalised float32, in channels-last memory."""
        return self.normal(self.pixels[self.rows[index]]).contiguous(memory_format=torch.channels_last)

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield the split's images in their order, ``size`` at a time."""
        return (self.batch(slice(start, start + size)) for start in range(0, len(self.rows), size))


@dataclass(frozen=True)
class Data:
    """What a run learns from and is measured on. Train and validation carry the noise, the test set does not.

    ``noise`` holds the draw for train and validation together, in the data set's order; ``pad`` and ``flip`` say
    how its images may be augmented; the two hashes name the images with the true labels, and the given labels.
    """

    train: Split
    val: Split
    test: Split
    num_classes: int
    noise: NoisyLabels
    pad: int
    flip: bool
    data_sha256: str
    labels_sha256: str
    classes: tuple[str, ...] = ()

    def to(self, device: torch.device) -> "Data":
        """Return the same on ``device``, with one copy of the pixels."""
        pixels = self.train.pixels.to(device)
        train, val, test = (_move(split, pixels) for split in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)


def load_source(dataset: str) -> Source:
    """Return a data set before noise and splits, such as ``"cifar10"``: what the runs of a sweep share.

    Raises SpecError for an unknown data set, and what its own loader raises for missing or damaged files.
    """
    spec = DATASETS.parse(dataset)
    source: Source = spec.entry.function(**spec.knobs)
    return source


def load(cfg: RunConfig, source: Source | None = None) -> Data:
    """Return the data of a run: loaded (unless ``source`` is given), split, and its labels corrupted.

    The noise is one draw over train and validation together, so it does not depend on which is which, nor on how
    many examples train. Raises SpecError for an unknown data set, noise or split, ConfigError for more examples than
    there are, and what the data set's own loader raises for missing or damaged files.
    """
    source = load_source(cfg.dataset) if source is None else source
    pool, test = held_out(cfg, source)
    train, val = training_rows(cfg, source, pool)
    return _assembled(cfg, source, pool, {"train": train, "val": val, "test": test})


def load_whole(cfg: RunConfig, source: Source | None = None) -> Data:
    """Return the whole pool of a data set as the training split, its labels corrupted: what an audit looks at.

    Nothing is held back: validation and test are the pool's first example, for form's sake. A test set that the data
    set comes with stays out. With ``cfg.examples`` that many of the pool, stratified by the true class. Raises as
    :func:`load`.
    """
    source = load_source(cfg.dataset) if source is None else source
    pool = np.sort(source.pool)
    chosen = pool if cfg.examples is None else _some(pool, source.labels, min(cfg.examples, len(pool)), cfg.split_seed)
    return _assembled(cfg, source, source.pool, {"train": chosen, "val": pool[:1], "test": pool[:1]})


def _assembled(cfg: RunConfig, source: Source, pool: NDArray[np.int64], rows: dict[str, NDArray[np.int64]]) -> Data:
    """Return the splits of these rows, with the noise of the configuration drawn over the whole pool."""
    facts = DATASETS.parse(cfg.dataset).entry.facts
    pool = np.sort(pool)
    images, noise = _corrupted(cfg, source, pool)
    given, clean = source.labels.copy(), source.labels.copy()
    kind = np.zeros(len(given), dtype=np.uint8)
    given[pool], clean[pool], kind[pool] = noise.labels.numpy(), noise.clean.numpy(), noise.kind.numpy()
    if cfg.validation == "clean":
        given[rows["val"]] = clean[rows["val"]]
    tensors = [torch.from_numpy(array) for array in (given, clean, kind)]
    pixels, normal = torch.from_numpy(images), Normal(source.scale, source.mean, source.std)
    return Data(
        **{name: _split(pixels, torch.from_numpy(chosen), tensors, normal) for name, chosen in rows.items()},
        num_classes=len(source.classes),
        noise=noise,
        pad=min(facts.pad, max(1, source.images.shape[2] // 8)),  # 4 of 32 pixels; no more of a smaller image
        flip=facts.flip,
        data_sha256=source.sha256,
        labels_sha256=sha256(given),
        classes=source.classes,
    )


def held_out(cfg: RunConfig, source: Source) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pool and the test rows: as the data set comes, or cut by ``cfg.split`` where it has no fixed test set.

    A test set that belongs to a benchmark (CIFAR's) stays as it is, whatever the split.
    """
    fixed = DATASETS.parse(cfg.dataset).entry.facts.official_test
    if len(source.test) and (fixed or cfg.split == "stratified"):
        return source.pool, source.test
    everything = np.sort(np.concatenate([source.pool, source.test]))
    return _cut(cfg, source, everything, max(1, round(TEST_SHARE * len(everything))))


def training_rows(
    cfg: RunConfig, source: Source, pool: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that train and those that validate, cut from the pool by ``cfg.split`` and ``cfg.split_seed``.

    A tenth validates, or what the data set says. With ``cfg.examples`` that many train, drawn from the others and
    stratified by the true class, and as large a validation set as goes with them.
    """
    facts = DATASETS.parse(cfg.dataset).entry.facts
    size = max(1, facts.validation or round(VALIDATION_SHARE * len(pool)))
    train, val = _cut(cfg, source, pool, size)
    if cfg.examples is None:
        return train, val
    if cfg.examples > len(train):
        raise ConfigError(f"examples = {cfg.examples}: {cfg.dataset} has {len(train)} to train on")
    fewer = min(len(val), max(1, round(cfg.examples * VALIDATION_SHARE)))
    return _some(train, source.labels, cfg.examples, cfg.split_seed), _some(val, source.labels, fewer, cfg.split_seed)


def _corrupted(cfg: RunConfig, source: Source, pool: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NoisyLabels]:
    """Return the images and the draw of the pool's labels; in a copy the images too where noise changes them."""
    noise, facts = NOISES.parse(cfg.noise), DATASETS.parse(cfg.dataset).entry.facts
    labels, classes = source.labels[pool], len(source.classes)
    if noise.entry.facts.changes_images:
        return _mixed(cfg, source, pool, noise)
    context: dict[str, Any] = {"superclasses": facts.superclasses, "flips": facts.flips}
    if noise.entry.facts.draws:
        context["images"] = _take(source.images, pool)
        context["human"] = cifar_n.Rows(facts.human, pool, labels)
    return source.images, corrupt(labels, cfg.noise, num_classes=classes, seed=cfg.noise_seed, **context)


def _mixed(
    cfg: RunConfig, source: Source, pool: NDArray[np.int64], noise: Spec
) -> tuple[NDArray[np.uint8], NoisyLabels]:
    partner = DATASETS.parse(cfg.dataset).entry.facts.partner
    mixed = noise.entry.function(
        _take(source.images, pool),
        source.labels[pool],
        **noise.knobs,
        rng=np.random.default_rng(cfg.noise_seed),
        num_classes=len(source.classes),
        others=corrupted_images.foreigners(partner) if partner and corrupted_images.wants_others(noise) else None,
    )
    images = source.images.copy()
    images[pool[mixed.rows]] = mixed.images
    return images, describe(mixed.labels, mixed.clean, len(source.classes), kind=mixed.kind)


def _cut(
    cfg: RunConfig, source: Source, rows: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return splits.cut(
        cfg.split,
        rows,
        source.labels[rows],
        size,
        cfg.split_seed,
        features=lambda: near_duplicates.features(source.images[rows]),
    )


def _some(rows: NDArray[np.int64], labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return ``count`` of the rows, stratified by their labels."""
    from sklearn.model_selection import train_test_split

    if count == len(rows):
        return rows
    chosen, _ = train_test_split(rows, train_size=count, random_state=seed, stratify=labels[rows])
    return np.sort(chosen)


def _take(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return some images: a view where the rows follow one another."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return images[rows[0] : rows[-1] + 1]
    return images[rows]


def _move(split: Split, pixels: Tensor) -> Split:
    names = ("rows", "labels", "clean_labels", "kind")
    return replace(split, pixels=pixels, **{name: getattr(split, name).to(pixels.device) for name in names})


def _split(pixels: Tensor, rows: Tensor, tensors: list[Tensor], normal: Normal) -> Split:
    labels, clean, kind = (tensor[rows] for tensor in tensors)
    return Split(pixels, rows, labels, clean, kind, normal)


__all__ = [
    "Data",
    "Split",
    "held_out",
    "load",
    "load_source",
    "load_whole",
    "training_rows",
]
