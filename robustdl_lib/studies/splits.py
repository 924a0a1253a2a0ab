"""Studies of splits: the effect of copies on both sides of a split on a score, and the copies across CIFAR's border.

After Bileschi et al. 2022 (Nature Biotechnology 40, 932-937): a network that assigns proteins to families errs on
0.495 % of a random split's test set and on 27.6 % of a clustered one's.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import NDArray
from pydantic import Field

from robustdl_lib import data
from robustdl_lib.config import RunConfig
from robustdl_lib.data import near_duplicates
from robustdl_lib.data.noise import corrupt
from robustdl_lib.data.raw import Source, statistics
from robustdl_lib.parallel import spread
from robustdl_lib.registry import SPLITS, STUDIES
from robustdl_lib.training.train import fit, predict

DISTANCE = 0.3
"""Nearly all planted copies of one original are within it, and two digits of one class that look very similar."""
FURTHER = 0.35
"""Within it nearly half of the digits have a look-alike on the other side of a random split."""
PLANTED = {"copies": 0.0, "copies, 40 % wrong": 0.4, "copies, labels drawn": 0.9}
"""Planted data and their share of wrong labels. At 0.9 all ten classes are equally likely: nothing to learn."""
PLANTED_SPLITS = ("random", "stratified", f"clustered:distance={DISTANCE}")
DIGIT_SPLITS = (*PLANTED_SPLITS, f"clustered:distance={FURTHER}", "stretch")
RUN = {"dataset": "digits", "noise": "none", "model": "resnet8", "augment": False, "device": "cpu"}
LADDER = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
CLOSEST = 40
Near = tuple[NDArray[np.int64], NDArray[np.float64]]


@STUDIES.register(
    "split_scores",
    label="Copies on both sides of a random split make memorising look like understanding; a clustered split tells.",
    source="After Bileschi et al. 2022",
)
def split_scores(*, seeds: Annotated[int, Field(ge=1)] = 3, epochs: Annotated[int, Field(ge=1)] = 25) -> pd.DataFrame:
    """Score a nearest neighbour and a ResNet on splits of planted copies and of the digits as they are.

    Each of ``seeds`` draws the split, and for planted data the copies; the network trains ``epochs`` epochs, without
    crops, so that it can memorise its training set. A row: data, cut (the split's spec), learner, split_seed, number of
    ``train`` and ``test`` examples, accuracies in [0, 1] on the training set, on the test set, and on the ``far`` test
    images, which have no training image within ``distance``; ``near``: the share of the other test images.
    """
    tasks = [
        (name, wrong, split, seed)
        for name, wrong in PLANTED.items()
        for split in PLANTED_SPLITS
        for seed in range(seeds)
    ]
    tasks += [("digits", 0.0, split, seed) for split in DIGIT_SPLITS for seed in range(seeds)]
    scores = spread(_scores, [(*task, epochs) for task in tasks], cpu_count())
    return pd.DataFrame([row for rows in scores for row in rows])


def planted(wrong: float, seed: int, *, count: int = 400, share: float = 0.5, copies: int = 4) -> Source:
    """Return digits of which some have copies, slightly moved and noisy, with the same label, right or wrong.

    ``count`` originals drawn by ``seed``, stratified; ``share`` of them get ``copies`` each: moved by up to 0.15
    pixels, with noise of 1 grey level of 16. ``wrong`` in [0, 1) of the originals' labels are one of the other
    classes. Originals come first. The source has no test set: every split cuts one.
    """
    from sklearn.model_selection import train_test_split

    digits, rng = data.load_source("digits"), np.random.default_rng(seed)
    drawn, _ = train_test_split(
        np.arange(len(digits.labels)), train_size=count, random_state=seed, stratify=digits.labels
    )
    images, true = digits.images[drawn], digits.labels[drawn]
    labels = corrupt(true, f"symmetric:{wrong}", num_classes=10, seed=seed).labels.numpy() if wrong else true
    which = np.repeat(rng.permutation(count)[: round(share * count)], copies)
    images = np.concatenate([images, np.stack([_copy(images[row], rng) for row in which])])
    labels = np.concatenate([labels, labels[which]])
    mean, std = statistics(images, digits.scale)
    everything, none = np.arange(len(labels)), np.empty(0, dtype=np.int64)
    return Source(images, labels, everything, none, digits.classes, digits.scale, mean, std)


@STUDIES.register(
    "border",
    label="How many CIFAR test images have a near-duplicate among the training images, and what a copy is worth.",
    source="After Barz and Denzler 2020, J. Imaging 6(6):41",
)
def border() -> pd.DataFrame:
    """Count the near-duplicates that cross the border of CIFAR's training and test set, at a ladder of distances.

    A row for each data set and ``distance``: number of test images whose nearest training image is at most that far and
    of the ``same`` or of an ``other`` class; the ``share`` of both; ``pairs`` at most that far; accuracy in [0, 1] of
    the nearest neighbour on the ``near`` test images, on the ``far`` ones and on ``all``.
    Raises as :func:`robustdl_lib.data.load_source` if CIFAR is not on disk.

    Barz and Denzler judged by eye the pairs that features of a trained network proposed. They count 3.25 % of
    CIFAR-10's and 10 % of CIFAR-100's test images, with copies within the test set. The mean pixels of few areas find
    other pairs: they miss a strong crop or a mirror image, and match two pictures that are mostly sky.
    """
    return pd.concat([_border(*crossing) for crossing in _crossings()], ignore_index=True)


@STUDIES.register(
    "border_pairs",
    label="The closest pairs of a CIFAR test and a training image, to look at.",
    source="After Barz and Denzler 2020, J. Imaging 6(6):41",
)
def border_pairs() -> pd.DataFrame:
    """List and draw the ``CLOSEST`` pairs of a test image and its nearest training image of CIFAR-10 and CIFAR-100.

    A row: data, rank, distance, the index of each image in its own set from 0, the name of its class. The picture shows
    the images, which the rows do not hold. Raises as :func:`border`.
    """
    from robustdl_lib.plots.splits import closest_pairs
    from robustdl_lib.plots.style import render

    tables, images = [], []
    for name, source, _, nearest in _crossings():
        pairs = _pairs(name, source, nearest)
        test, train = source.test[pairs["test_index"]], source.pool[pairs["train_index"]]
        tables.append(pairs)
        images.append(np.stack((source.images[test], source.images[train]), axis=1))
    table = pd.concat(tables, ignore_index=True)
    table.attrs["picture"] = render(closest_pairs(np.concatenate(images), table), "png")
    return table


def _copy(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a digit [1, 8, 8] moved by a fraction of a pixel, with a little noise, in its 17 grey levels."""
    from scipy.ndimage import shift

    moved = shift(image[0].astype(np.float64), rng.uniform(-0.15, 0.15, 2), order=1, mode="grid-constant")
    return np.rint(moved + rng.normal(0, 1, moved.shape)).clip(0, 16).astype(np.uint8)[None]


def _scores(name: str, wrong: float, split: str, seed: int, epochs: int) -> list[dict[str, Any]]:
    """Return the rows of one split, one for each learner: both have the same training and test images."""
    source = planted(wrong, seed) if name in PLANTED else _without_test_set(data.load_source("digits"))
    cfg = RunConfig(**RUN, epochs=epochs, split=split, split_seed=seed, seed=seed)
    drawn = data.load(cfg, source)
    train, test = drawn.train.rows.numpy(), drawn.test.rows.numpy()
    described = near_duplicates.features(source.images)
    limit = SPLITS.parse(split).values.get("distance", DISTANCE if name in PLANTED else FURTHER)
    which, apart = near_duplicates.nearest(described[test], described[train])
    trained = fit(cfg, drawn)
    predicted = predict(cfg, trained.model, drawn.test.images).argmax(dim=1).numpy()
    answers = {  # the nearest neighbour of a training image is itself
        "1-NN": (1.0, source.labels[train][which]),
        cfg.model: (float(trained.history["clean_acc"].iloc[-1]), predicted),
    }
    task = {"data": name, "cut": split, "split_seed": seed, "distance": limit, "train": len(train), "test": len(test)}
    far, rows = apart > limit, []
    for learner, (train_acc, answer) in answers.items():
        right = answer == source.labels[test]
        scores = {"test_acc": right.mean(), "far_acc": right[far].mean(), "near": 1 - far.mean()}
        rows.append({**task, "learner": learner, "train_acc": train_acc, **scores})
    return rows


def _without_test_set(source: Source) -> Source:
    """Return a data set without a test set of its own, so that the split's seed cuts one."""
    return replace(source, pool=np.arange(len(source.labels)), test=np.empty(0, dtype=np.int64))


def _crossings() -> Iterator[tuple[str, Source, NDArray[np.float32], Near]]:
    """Yield CIFAR-10 and CIFAR-100, their features, and the nearest training image of each test image with distance."""
    for name in ("cifar10", "cifar100"):
        source = data.load_source(name)
        described = near_duplicates.features(source.images)
        yield name, source, described, near_duplicates.nearest(described[source.test], described[source.pool])


def _border(name: str, source: Source, described: NDArray[np.float32], nearest: Near) -> pd.DataFrame:
    which, apart = nearest
    right = source.labels[source.pool][which] == source.labels[source.test]
    _, pairs = near_duplicates.near_duplicates(described[source.test], described[source.pool], distance=LADDER[-1])
    rows = []
    for distance in LADDER:
        near = apart <= distance
        counts = {"pairs": (pairs <= distance).sum(), "same": (near & right).sum(), "other": (near & ~right).sum()}
        accuracies = {"near_acc": _mean(right[near]), "far_acc": _mean(right[~near]), "all_acc": right.mean()}
        rows.append({"data": name, "distance": distance, **counts, "share": near.mean(), **accuracies})
    return pd.DataFrame(rows)


def _pairs(name: str, source: Source, nearest: Near) -> pd.DataFrame:
    which, apart = nearest
    closest = np.lexsort((np.arange(len(apart)), apart))[:CLOSEST]
    names = np.array(source.classes)
    classes = {
        "test_class": names[source.labels[source.test][closest]],
        "train_class": names[source.labels[source.pool][which[closest]]],
    }
    ranked = {"data": name, "rank": np.arange(1, len(closest) + 1), "distance": apart[closest]}
    return pd.DataFrame({**ranked, "test_index": closest, "train_index": which[closest], **classes})


def _mean(right: NDArray[np.bool_]) -> float:
    """Return the share that is right, NaN for no examples."""
    return float(right.mean()) if len(right) else float("nan")
