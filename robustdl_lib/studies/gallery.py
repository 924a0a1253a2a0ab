"""A gallery of adverse examples: labels that people got wrong, and images of no class and of two.

Rows describe the examples; :func:`robustdl_lib.plots.adverse.gallery` draws them. Source: the talk, slides 5, 7, 8.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robustdl_lib.data.noise import corrupted_images
from robustdl_lib.data.raw import Source
from robustdl_lib.registry import NOISES

ACROSS = 7
"""Examples of a group: thumbnails in a line."""
PEOPLE = ("random1", "random2", "random3")
"""The label sets of CIFAR-10N that hold one person's answer an image."""
TALK = ("horse", "deer")
"""Slide 5: the given label and the true class."""
Rows = NDArray[np.int64]


def label_errors(source: Source, people: Mapping[str, Rows]) -> pd.DataFrame:
    """Return rows of real label errors, three groups of :data:`ACROSS`; people {label set: labels of the pool}.

    First, as in the talk, images that people labelled horse, some of them deer; then, for the most frequent pairs of
    classes, the first image that one of three people got wrong, and the first with the same wrong label from all three.
    """
    names, clean, worst = np.array(source.classes), source.labels[source.pool], people["worst"]
    pool = pd.DataFrame({"index": source.pool, "given": names[worst], "true": names[clean]})
    pool["agree"] = sum((people[name] == worst).astype(int) for name in PEOPLE)
    has = np.stack([labels == worst for labels in people.values()], axis=1)
    pool["kind"] = np.where(worst == clean, "ordinary", "mislabelled")
    wrong = pool[pool["kind"] == "mislabelled"]
    given, true = TALK
    horses = pool[(pool["kind"] == "ordinary") & (pool["given"] == given) & (pool["agree"] == len(PEOPLE))]
    deer = wrong[(wrong["given"] == given) & (wrong["true"] == true)]
    slips = wrong[wrong["agree"] == 1].drop(deer.index[:3])
    groups = {
        f'All of these are labelled "{given}" by people': pd.concat([deer[:3], horses[: ACROSS - 3]]),
        "One person of three erred, in the most frequent ways": _firsts(slips),
        "All three people gave the same wrong label": _firsts(wrong[wrong["agree"] == len(PEOPLE)]),
    }
    rows = pd.concat([members.assign(group=group) for group, members in groups.items()])
    return rows.assign(sets=[" ".join(np.array(list(people))[line]) for line in has[rows.index]])


def drawn_errors(source: Source, seed: int = 0) -> tuple[NDArray[np.uint8], pd.DataFrame]:
    """Return images and rows of two groups: ordinary examples, and examples with a wrong label drawn by ``seed``."""
    rng, names = np.random.default_rng(seed), np.array(source.classes)
    chosen = rng.choice(source.pool, 2 * ACROSS, replace=False)
    true = source.labels[chosen]
    given = np.where(np.arange(len(true)) < ACROSS, true, (true + rng.integers(1, len(names), len(true))) % len(names))
    rows = pd.DataFrame({"index": chosen, "given": names[given], "true": names[true]})
    rows["kind"] = np.where(given == true, "ordinary", "mislabelled")
    return source.images[chosen], rows.assign(group=np.where(given == true, "Ordinary", "Wrong label (drawn)"))


def made(
    source: Source, partner: Source | None = None, of: str = "", seed: int = 0
) -> tuple[NDArray[np.uint8], pd.DataFrame]:
    """Return images and rows of two groups, drawn by ``seed``: out of distribution, and ambiguous.

    The noises ``ood`` and ``ambiguous`` make them from training images; ``partner``, called ``of``, is the data set of
    foreign objects. An ambiguous example is made of two training images; ``other_index`` is the index of the second.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(source.pool, 2 * ACROSS, replace=False)
    counts = {"background": 2, "noise": 2, "other": 3} if partner else {"background": 4, "noise": 3}
    sorts = [sort for sort, count in counts.items() for _ in range(count)]
    foreign = [_foreign(source, row, sort, partner, rng) for row, sort in zip(chosen, sorts, strict=False)]
    double = [_double(source, row, rng) for row in chosen[ACROSS:]]
    objects = f", objects of {of}" if partner else ""
    groups = {
        f"Out of distribution: background, noise{objects}": foreign,
        "Ambiguous: two objects in one image": double,
    }
    rows = [{"group": group, **row} for group, members in groups.items() for _, row in members]
    images = np.stack([image for image, _ in (*foreign, *double)])
    kind = np.repeat(["out of distribution", "ambiguous"], ACROSS)
    return images, pd.DataFrame(rows).assign(kind=kind)


def _firsts(errors: pd.DataFrame) -> pd.DataFrame:
    """Return the first error of each of the most frequent pairs of classes, the most frequent first."""
    pair = ["true", "given"]
    often = errors.groupby(pair).size().sort_values(ascending=False, kind="stable").index[:ACROSS]
    firsts = errors.drop_duplicates(pair)
    order = pd.MultiIndex.from_frame(firsts[pair]).get_indexer(often)
    return firsts.iloc[order]


def _foreign(
    source: Source, row: int, sort: str, partner: Source | None, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return an image of no class that replaces a training image, and its row."""
    true, others = sort, None
    if partner is not None:
        stranger = rng.choice(corrupted_images.far_rows("cifar100", partner, partner.pool))
        others = partner.images[[stranger]]
        true = partner.classes[partner.labels[stranger]].replace("_", " ") if sort == "other" else sort
    images, labels = source.images[[row]], source.labels[[row]]
    context: dict[str, Any] = {"rng": rng, "num_classes": len(source.classes), "others": others}
    mixed = NOISES["ood"](images, labels, rate=1.0, kind=sort, **context)
    return mixed.images[0], {"index": row, "given": source.classes[mixed.labels[0]], "true": true}


def _double(source: Source, row: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return an image of two training images, and its row."""
    other = rng.choice(source.pool[source.labels[source.pool] != source.labels[row]])
    both = np.array([row, other])
    mixed = NOISES["ambiguous"](
        source.images[both], source.labels[both], rate=1.0, rng=rng, num_classes=len(source.classes)
    )
    true = " and ".join(source.classes[label] for label in source.labels[both])
    given = source.classes[mixed.labels[0]]
    return mixed.images[0], {"index": row, "given": given, "true": true, "other_index": other}
