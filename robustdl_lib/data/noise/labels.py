"""Noisy labels: what a draw of noise returns, put together with its realised matrix and rate."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MISSING = -1
"""The given label of an example that has none."""


NO_CLASS = -1
"""The true label of an example that belongs to no class."""


KINDS = ("ordinary", "out of distribution", "ambiguous")
"""What the codes 0, 1 and 2 of an example's ``kind`` say."""


@dataclass(frozen=True)
class NoisyLabels:
    """What :func:`corrupt` returns: given and true labels [N], where they differ, and what came out.

    ``transition`` [C, C] is the realised matrix (counts over the row's total, the identity for a class without
    examples) and ``rate`` the realised share of wrong labels. A missing label is -1, and is not wrong. ``kind`` [N]
    uint8 holds codes of :data:`KINDS`. A true label of -1 says that no class is right: it is in no row of the matrix,
    and any label given to it is wrong. ``asked`` [C, C] is the matrix that was drawn from, None for a noise that has
    none.
    """

    labels: Tensor
    clean: Tensor
    mislabelled: Tensor
    transition: Tensor
    rate: float
    kind: Tensor
    asked: Tensor | None = None


def describe(
    given: NDArray[np.integer],
    clean: NDArray[np.integer],
    num_classes: int,
    kind: NDArray[np.integer] | None = None,
    asked: NDArray[np.float64] | None = None,
) -> NoisyLabels:
    """Put given and true labels [N] together with the realised matrix and rate; -1 says missing, or no right class."""
    counts = np.zeros((num_classes, num_classes))
    labelled, classed = given != MISSING, clean != NO_CLASS
    np.add.at(counts, (clean[labelled & classed], given[labelled & classed]), 1.0)
    totals = np.bincount(clean[classed], minlength=num_classes)[:, None]
    transition = np.where(totals > 0, counts / np.maximum(totals, 1.0), np.eye(num_classes))
    wrong = labelled & (given != clean)
    return NoisyLabels(
        labels=torch.from_numpy(given.astype(np.int64)),
        clean=torch.from_numpy(clean.astype(np.int64)),
        mislabelled=torch.from_numpy(wrong),
        transition=torch.from_numpy(transition),
        rate=float(wrong.sum() / max(len(wrong), 1)),
        kind=torch.from_numpy(np.zeros(len(given), np.uint8) if kind is None else kind.astype(np.uint8)),
        asked=None if asked is None else torch.from_numpy(asked),
    )
