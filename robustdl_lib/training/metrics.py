"""What a network does with the examples: accuracy, entropy and confidence on subsets of them.

Every function takes a ``subset`` mask [N] and returns a float, NaN where the subset is empty.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

BINS = 50


def share(hits: Tensor, subset: Tensor | None = None) -> float:
    """Return the average of ``hits`` [N] (booleans or numbers) over ``subset`` [N]; NaN where it is empty."""
    chosen = hits if subset is None else hits[subset]
    return float(chosen.double().sum() / len(chosen)) if len(chosen) else math.nan


def accuracy(logits: Tensor, labels: Tensor, subset: Tensor | None = None) -> float:
    """Return the share of examples whose argmax is the label: logits [N, C], labels [N] -> float in [0, 1]."""
    return share(logits.argmax(dim=1) == labels, subset)


def normalised_entropy(logits: Tensor) -> Tensor:
    """Return H(p) / log C per example: logits [N, C] -> [N] in [0, 1]. Source: Talk, slide 38."""
    log_probs = log_softmax(logits, dim=1)
    return -(log_probs.exp() * log_probs).sum(dim=1) / math.log(logits.shape[1])


def p_y(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the probability of the given label: logits [N, C], labels [N] -> [N] in [0, 1]; where -1, of class 0."""
    return log_softmax(logits, dim=1).gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1).exp()


def p_y_histogram(p: Tensor, subset: Tensor, bins: int = BINS) -> Tensor:
    """Count p [N] over ``subset`` in equal bins of [0, 1] -> [bins] integers."""
    index = (p[subset] * bins).long().clamp(0, bins - 1)
    return torch.bincount(index, minlength=bins)


def dynamics(logits: Tensor, labels: Tensor, clean_labels: Tensor) -> dict[str, float]:
    """Describe what a network has fitted of its training set, on the clean and on the mislabelled subset.

    logits [N, C], labels [N] as given, clean_labels [N] -> ``clean_acc`` (clean subset predicted as its label),
    ``fit_wrong`` and ``corrected`` (mislabelled predicted as the given, the true class), ``entropy_clean`` and
    ``entropy_wrong`` (normalised by log C), ``p_clean`` and ``p_wrong`` (average p_y). An example without a label (-1)
    is in neither subset.
    Source: Talk, slides 11 and 36 to 38; ProSelfLC (arXiv 2005.03788), Figure 3.
    """
    right, wrong = labels == clean_labels, (labels != clean_labels) & (labels >= 0)
    entropy, given = normalised_entropy(logits), p_y(logits, labels)
    return {
        "clean_acc": accuracy(logits, labels, right),
        "fit_wrong": accuracy(logits, labels, wrong),
        "corrected": accuracy(logits, clean_labels, wrong),
        "entropy_clean": share(entropy, right),
        "entropy_wrong": share(entropy, wrong),
        "p_clean": share(given, right),
        "p_wrong": share(given, wrong),
    }
