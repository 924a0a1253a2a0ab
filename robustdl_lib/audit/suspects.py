"""Suspects: which given labels are likely wrong, ranked by what networks said of them; no training happens here.

A *score* says how far a label is believed: **low is suspicious**. A *ranking* is the rows from the most suspicious
on. Rankings, flags and suggestions need no true labels; only :func:`quality` and :func:`precision_recall`, which
judge a ranking, do.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Rows = NDArray[np.int64]
Epochs = Literal["all", "first half", "second half", "last"]
EPOCHS: tuple[Epochs, ...] = ("all", "first half", "second half", "last")
LOWEST = 1e-6
"""cleanlab divides by probabilities: none may be 0."""


def given(values: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """Return what belongs to the given label: values [N, C] and labels [N] in [0, C) -> [N].

    Raises ValueError as :func:`checked`.
    """
    labels = checked(labels, values)
    return np.asarray(values)[np.arange(len(labels)), labels]


def margin(logits: NDArray[Any], labels: NDArray[Any]) -> Scores:
    """Return the margin z_y - max_{j != y} z_j of each given label: logits [N, C], labels [N] -> [N].

    Averaged over epochs by :func:`dynamics` it is the area under the margin (AUM).
    Source: Pleiss et al. 2020 (arXiv 2001.10528), eq. 1 and 2. Raises ValueError as :func:`checked`.
    """
    own = given(logits, labels).astype(np.float64)
    others = np.array(logits, dtype=np.float64)
    others[np.arange(len(own)), np.asarray(labels)] = -np.inf
    return own - others.max(axis=1)


def dynamics(p_given: NDArray[Any], epochs: Epochs = "all") -> Scores:
    """Return the training dynamics of each label as one number: the mean of its p_y over epochs.

    s_i = (1/|E|) sum over e in E of p_y(i, e), where E holds, of epochs 1 ... K: all of them; the ``first half``,
    1 ... ceil(K / 2); the ``second half``, floor(K / 2) + 1 ... K; or the ``last`` alone. p_given [K, N], p_y (or a
    :func:`margin`) after each epoch, in inference mode, unaugmented -> [N], in [0, 1] for p_y; low is suspicious.
    Source: talk, slides 11 and 23 (wrong labels are those whose p_y stays small); with all epochs the "confidence"
    of Swayamdipta et al. 2020 (arXiv 2009.10795), section 2. Raises ValueError for other shapes and other epochs.
    """
    values = np.asarray(p_given, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"training dynamics are p_y of shape [epochs, N], found an array of shape {values.shape}")
    half = (len(values) + 1) // 2
    parts = {"all": values, "first half": values[:half], "second half": values[-half:], "last": values[-1:]}
    if epochs not in parts:
        raise ValueError(f"training dynamics are read over {', '.join(parts)}, found {epochs!r}")
    return np.asarray(parts[epochs].mean(axis=0))


def confident_learning(labels: NDArray[Any], probs: NDArray[Any]) -> pd.DataFrame:
    """Return what confident learning says of each label: columns ``score`` in [0, 1] and ``flagged``, a row a label.

    The score is the self-confidence p_y. Flagged are, in each class pair (i, j) given as i and confidently like j,
    as many labels as the estimated joint of given and true classes holds, those with the largest p_j - p_i ("prune
    by noise rate"). labels [N] in [0, C); probs [N, C] must be *out of sample*, from networks that were not trained on
    these labels, as cross-validation gives them.
    Source: Northcutt, Jiang, Chuang 2021 (arXiv 1911.00068), section 3, by cleanlab. Raises ValueError as
    :func:`checked`.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels, safe = _for_cleanlab(labels, probs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes that are small, which the reader can see
        flagged = find_label_issues(labels, safe, n_jobs=1)
        score = get_label_quality_scores(labels, safe, method="self_confidence")
    return pd.DataFrame({"score": score, "flagged": flagged})


def estimated_wrong(labels: NDArray[Any], probs: NDArray[Any]) -> int:
    """Return how many labels are wrong, estimated without the truth: labels [N], probs [N, C] -> 0 ... N.

    It counts the labels that are confidently of another class: those for which, among the classes whose probability
    exceeds its average over the examples given that class, the likeliest is another than the given one (the
    off-diagonal of the confident joint); cleanlab takes those out again whose p_y is next to the largest.
    Source: Northcutt, Jiang, Chuang 2021, eq. 1 and 2, by cleanlab's ``num_label_issues``.
    Raises ValueError as :func:`checked`.
    """
    from cleanlab.count import num_label_issues

    labels, safe = _for_cleanlab(labels, probs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return int(num_label_issues(labels, safe))


def ranking(score: NDArray[Any]) -> Rows:
    """Return the rows from the most suspicious on: score [N] -> a permutation [N]; equal scores in order of row.

    Raises ValueError for a score that is not a number, which has no place.
    """
    values = np.asarray(score, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        found = f"an array of shape {values.shape}, {int(np.isnan(values).sum())} of its entries NaN"
        raise ValueError(f"a ranking needs one number a label, found {found}")
    return np.argsort(values, kind="stable")


def worst(score: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """Return which labels are the ``count`` most suspicious, ties by row: score [N] -> [N] of True and False.

    Raises ValueError for a count outside 0 ... N.
    """
    order = ranking(score)
    if not 0 <= count <= len(order):
        raise ValueError(f"of {len(order)} labels 0 to {len(order)} can be suspects, found {count}")
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[:count]] = True
    return chosen


def suggest(probs: NDArray[Any]) -> Rows:
    """Return the class to correct to: argmax_j p_j, the lowest of equal ones; probs [N, C] -> [N].

    Where it is the given label itself there is nothing to correct.
    """
    return np.asarray(probs).argmax(axis=1).astype(np.int64)


def contradicted(labels: NDArray[Any], probs: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels the probabilities contradict, argmax_j p_j != y: labels [N], probs [N, C] -> [N].

    With the probabilities averaged over the epochs of one training these are the suspects of the training dynamics;
    neither a rate nor a threshold has to be known. Raises ValueError as :func:`checked`.
    """
    return suggest(probs) != checked(labels, probs)


def entropy(probs: NDArray[Any]) -> Scores:
    """Return the normalised entropy -sum_j p_j log p_j / log C: probs [N, C] -> [N] in [0, 1]; 0 log 0 is 0.

    Raises ValueError as :func:`checked` for what is not [N, C] with C of at least 2.
    """
    p = np.asarray(probs, dtype=np.float64)
    checked(np.zeros(len(p), dtype=np.int64), p)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) / np.log(p.shape[1]))


def quality(
    scores: Mapping[str, NDArray[Any]], mislabelled: NDArray[Any], flagged: Mapping[str, NDArray[Any]] | None = None
) -> pd.DataFrame:
    """Judge rankings by the known truth: a row a ranker, in the order given.

    Columns: ``ranker``; ``acted``, how many labels it takes for wrong: those it ``flagged``, without flags its first k,
    k the number of truly wrong labels; ``precision`` and ``recall`` of these; ``auroc``, the chance that a wrong
    label is ranked before a right one; ``average_precision``; ``precision_at_wrong``, the precision of the first k
    (recall there is the same). NaN where no or every label is wrong; precision of none is NaN.
    scores {name: [N]}, low is suspicious; flagged {name: [N]}; mislabelled [N], both of True and False. Raises
    ValueError for other lengths.
    """
    wrong = np.asarray(mislabelled, dtype=bool)
    return pd.DataFrame([_judged(name, s, wrong, (flagged or {}).get(name)) for name, s in scores.items()])


def _judged(
    name: str, score: NDArray[Any], wrong: NDArray[np.bool_], flagged: NDArray[Any] | None
) -> dict[str, str | float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    if len(score) != len(wrong):
        raise ValueError(f"ranker {name!r} scores {len(score)} labels, of which {len(wrong)} are known")
    first = worst(score, int(wrong.sum()))
    acted = first if flagged is None else np.asarray(flagged, dtype=bool)
    both, doubt = 0 < wrong.sum() < len(wrong), -np.asarray(score, dtype=np.float64)
    return {
        **{"ranker": name, "acted": int(acted.sum()), **hits(acted, wrong)},
        "auroc": float(roc_auc_score(wrong, doubt)) if both else np.nan,
        "average_precision": float(average_precision_score(wrong, doubt)) if both else np.nan,
        "precision_at_wrong": hits(first, wrong)["precision"],
    }


def hits(flagged: NDArray[Any], mislabelled: NDArray[Any]) -> dict[str, float]:
    """Return precision and recall of flags: both [N] of True and False -> shares in [0, 1], NaN for 0 / 0."""
    found = float((np.asarray(flagged) & np.asarray(mislabelled)).sum())
    flags, wrong = float(np.sum(flagged)), float(np.sum(mislabelled))
    return {"precision": found / flags if flags else np.nan, "recall": found / wrong if wrong else np.nan}


def precision_recall(score: NDArray[Any], mislabelled: NDArray[Any]) -> pd.DataFrame:
    """Return precision and recall of the first k suspects for k = 1 ... N: columns k, precision, recall.

    score [N], low is suspicious; mislabelled [N] with at least one True, else recall is NaN.
    """
    wrong = np.asarray(mislabelled, dtype=bool)[ranking(score)]
    k, found = np.arange(1, len(wrong) + 1), wrong.cumsum()
    total = wrong.sum() or np.nan
    return pd.DataFrame({"k": k, "precision": found / k, "recall": found / total})


def checked(labels: NDArray[Any], values: NDArray[Any]) -> Rows:
    """Return labels as integers once they fit to values [N, C]; raises ValueError, in one sentence, where they do not.

    Refused are other shapes, fewer than two classes, values that are not finite, and a label outside [0, C), such
    as the -1 of a missing one.
    """
    labels, values = np.asarray(labels), np.asarray(values)
    if values.ndim != 2 or values.shape[1] < 2 or labels.shape != values.shape[:1]:
        found = f"{labels.shape} and {values.shape}"
        raise ValueError(f"labels [N] and values [N, C] of two classes or more are needed, found {found}")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).any(axis=1).sum())} rows hold values that are not finite")
    if labels.size and (labels.min() < 0 or labels.max() >= values.shape[1]):
        found = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels must lie in 0 to {values.shape[1] - 1}, found {found}: leave missing ones (-1) out")
    return labels.astype(np.int64)


def _for_cleanlab(labels: NDArray[Any], probs: NDArray[Any]) -> tuple[Rows, Scores]:
    """Return labels and probabilities as cleanlab takes them: rows that sum to 1, no entry of 0."""
    labels, p = checked(labels, probs), np.asarray(probs, dtype=np.float64)
    if (p < 0).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise ValueError("probs [N, C] must be probabilities, each row with the sum 1: these look like logits")
    safe = np.clip(p, LOWEST, None)
    return labels, np.asarray(safe / safe.sum(axis=1, keepdims=True))
