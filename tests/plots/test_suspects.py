"""Figures of suspects draw what their rows say."""

import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence
from matplotlib.colors import same_color

from robustdl_lib.plots import suspects

NOISES = ("symmetric:0.4", "asymmetric:0.4")
RANKERS = ("dynamics cce", "confident learning")


def study_rows() -> pd.DataFrame:
    """Return rows as the study gives them: two noises, two rankers, two seeds."""
    rows: list[dict[str, object]] = []
    for noise in NOISES:
        for seed in (0, 1):
            cell = {"noise": noise, "seed": seed}
            for place, ranker in enumerate(RANKERS):
                for k in (1, 50, 100):
                    found = {"k": k, "precision": 1 - k / 200 - 0.1 * place, "recall": k / 100}
                    rows.append({"part": "curve", **cell, "ranker": ranker, "epochs": "all", **found})
                acted = {"precision": 0.8 + 0.1 * seed, "recall": 0.6, "wrong": 0.4, "examples": 100}
                rows.append({"part": "ranking", **cell, "ranker": ranker, "epochs": "all", **acted})
                rows.append({"part": "ranking", **cell, "ranker": ranker, "epochs": "last", **acted})
            for approach, ranker, action, method, accuracy in (
                ("both", "dynamics gce", "correct", "gce", 0.9),
                ("neither", "none", "none", "cce", 0.7),
                ("data-centric", "dynamics cce", "drop", "cce", 0.85),
                ("model-centric", "none", "none", "dm", 0.8),
            ):
                trained = {"ranker": ranker, "action": action, "method": method, "test_acc": accuracy + 0.02 * seed}
                rows.append({"part": "retraining", **cell, "approach": approach, "examples": 90, **trained})
    clean = {"approach": "clean labels", "ranker": "none", "action": "truth", "method": "cce", "test_acc": 0.99}
    return pd.DataFrame([*rows, {"part": "retraining", "noise": "none", "seed": 0, **clean}])


def lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def test_curves_are_means_over_seeds_and_the_mark_is_where_the_ranking_acts() -> None:
    figure = suspects.suspects_found(study_rows())
    assert [ax.get_title(loc="left") for ax in figure.axes] == [f"{noise} (40 % wrong)" for noise in NOISES]
    for ax, noise in zip(figure.axes, NOISES, strict=True):
        (curve,) = lines(ax, f"{noise}/confident learning")
        assert curve.get_xdata() == pytest.approx([1, 50, 100])
        assert curve.get_ydata() == pytest.approx([89.5, 65, 40])
        (mark,) = lines(ax, f"{noise}/dynamics cce/acted")
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((60, 85))
        (chance,) = lines(ax, f"{noise}/chance")
        assert chance.get_ydata()[0] == pytest.approx(40)


def test_each_way_has_a_place_by_approach_and_the_clean_ceiling_a_line() -> None:
    figure = suspects.data_and_model(study_rows())
    left = figure.axes[0]
    assert [tick.get_text() for tick in left.get_yticklabels()] == [
        "CCE on the noisy labels",
        "DM on the noisy labels",
        "dynamics of CCE: dropped, then CCE",
        "dynamics of GCE: corrected, then GCE",
    ]
    for ax, noise in zip(figure.axes, NOISES, strict=True):
        (ceiling,) = lines(ax, f"{noise}/clean")
        assert ceiling.get_xdata()[0] == pytest.approx(99)
        for place, (words, mean) in enumerate({"CCE on the noisy labels": 71, "DM on the noisy labels": 81}.items()):
            (mark,) = lines(ax, f"{noise}/{words}")
            assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((mean, place))
    colours = [tick.get_color() for tick in left.get_yticklabels()]
    looks = [suspects.APPROACHES[name].color for name in ("neither", "model-centric", "data-centric", "both")]
    assert all(same_color(a, b) for a, b in zip(colours, looks, strict=True))


def test_every_seed_has_a_dot() -> None:
    ax = suspects.data_and_model(study_rows()).axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "."]
    assert sorted(np.concatenate([line.get_xdata() for line in dots])) == pytest.approx(
        [70, 72, 80, 82, 85, 87, 90, 92]
    )


def test_prepared_rows_are_left_as_they_are() -> None:
    for prepare in (suspects.found_rows, suspects.gained_rows):
        once = prepare(study_rows())
        assert prepare(once) is once
    assert set(suspects.found_rows(study_rows())["part"]) == {"curve", "ranking"}
    assert len(suspects.found_rows(study_rows()).query("part == 'ranking'")) == 8


def test_rows_without_a_column_are_refused() -> None:
    with pytest.raises(ValueError, match="test_acc") as refusal:
        suspects.data_and_model(suspects.gained_rows(study_rows()).drop(columns="test_acc"))
    one_sentence(refusal.value)
