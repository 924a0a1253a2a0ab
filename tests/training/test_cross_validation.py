"""Trainings that speak of their own examples: what is recorded, what stays out of sample, and refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.cases import one_sentence, smoke

from robustdl_lib import data, train
from robustdl_lib.training import cross_validation


def small(digits: data.Data, count: int = 120) -> data.Data:
    """Return the digits with few examples to train, validate and test on."""
    return replace(
        digits,
        train=cross_validation.take(digits.train, np.arange(count)),
        val=cross_validation.take(digits.val, np.arange(20)),
        test=cross_validation.take(digits.test, np.arange(20)),
    )


def test_a_watched_training_is_the_training_and_records_each_epoch(digits: data.Data) -> None:
    few, seen = small(digits), []
    history, watched = cross_validation.watch(smoke(), few)
    plain = train.fit(smoke(), few, on_logits=lambda epoch, logits: seen.append(torch.softmax(logits.double(), 1)))
    assert history["test_acc"].tolist() == plain.history["test_acc"].tolist()
    assert watched.p_given.shape == (2, 120)
    assert watched.mean == pytest.approx(torch.stack(seen).mean(dim=0).numpy())
    by_hand = [p[torch.arange(120), few.train.labels].numpy() for p in seen]
    assert watched.p_given == pytest.approx(np.stack(by_hand))


def test_the_same_seed_draws_the_same_folds_and_another_seed_others(digits: data.Data) -> None:
    few = small(digits)
    first, again, other = (cross_validation.cross(smoke(epochs=1, seed=seed), few, 2)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert not np.array_equal(first, other)


def test_each_fold_is_told_apart_and_every_row_is_filled(digits: data.Data) -> None:
    few, told = small(digits), []
    probs, watched = cross_validation.cross(smoke(), few, 3, lambda fold, row: told.append((fold, row["epoch"])))
    assert told == [(fold, epoch) for fold in (1, 2, 3) for epoch in (1, 2)]
    assert probs.sum(axis=1) == pytest.approx(1.0)
    assert watched.mean.sum(axis=1) == pytest.approx(1.0)
    assert watched.p_given.shape == (2, 120)
    assert (watched.p_given > 0).all()


def test_the_left_out_fold_is_never_trained_on(digits: data.Data, monkeypatch: pytest.MonkeyPatch) -> None:
    few, pairs = small(digits), []
    fit = cross_validation.fit

    def spy(cfg, part, *more):  # type: ignore[no-untyped-def]
        pairs.append((set(part.train.rows.tolist()), set(part.val.rows.tolist())))
        return fit(cfg, part, *more)

    monkeypatch.setattr(cross_validation, "fit", spy)
    cross_validation.cross(smoke(epochs=1), few, 3)
    everything = set(few.train.rows.tolist())
    assert all(inside | outside == everything and not inside & outside for inside, outside in pairs)
    assert set.union(*(outside for _, outside in pairs)) == everything


def test_folds_that_cannot_be_are_refused_before_any_training(digits: data.Data) -> None:
    few = small(digits)
    for count in (1, 0, 1000):
        with pytest.raises(ValueError, match="2 folds or more") as refusal:
            cross_validation.cross(smoke(), few, count)
        one_sentence(refusal.value, str(count))
    missing = replace(few, train=cross_validation.relabel(few.train, np.full(120, -1)))
    for call in (lambda: cross_validation.cross(smoke(), missing, 2), lambda: cross_validation.watch(smoke(), missing)):
        with pytest.raises(ValueError, match="120 examples without one") as refusal:
            call()
        one_sentence(refusal.value)


def test_taking_and_relabelling_leave_the_truth_and_the_pixels(digits: data.Data) -> None:
    keep = np.arange(len(digits.train.labels)) % 3 == 0
    part = cross_validation.take(digits.train, keep)
    assert part.pixels is digits.train.pixels
    assert (part.clean_labels == digits.train.clean_labels[torch.from_numpy(keep)]).all()
    assert (part.images == digits.train.images[torch.from_numpy(keep)]).all()
    corrected = cross_validation.relabel(digits.train, digits.train.clean_labels.numpy())
    assert not corrected.mislabelled.any()
    assert digits.train.mislabelled.any()
    with pytest.raises(ValueError, match="needs as many labels") as refusal:
        cross_validation.relabel(digits.train, np.zeros(3))
    one_sentence(refusal.value)
