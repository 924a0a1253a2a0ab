"""Figures of splits draw what their rows say."""

import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence
from matplotlib.colors import to_hex

from robustdl_lib.plots import splits

BY_LOT = "copies, labels drawn"


def score_rows():
    rows = [
        {"data": kind, "cut": cut, "split_seed": seed, "learner": learner, "test_acc": 0.1 * (place + 1) + 0.02 * seed}
        for kind in (BY_LOT, "digits")
        for place, cut in enumerate(["random", "clustered:distance=0.3"])
        for learner in ("1-NN", "resnet8")
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def border_rows():
    rows = [
        {
            "data": name,
            "distance": d,
            "share": s,
            "same": same,
            "other": 2,
            "near_acc": 0.9,
            "far_acc": 0.4,
            "all_acc": 0.5,
        }
        for name in ("cifar10", "cifar100")
        for d, s, same in ((0.0, 0.0, 0), (0.1, 0.001, 8), (0.2, 0.01, 98))
    ]
    frame = pd.DataFrame(rows)
    frame.loc[frame["distance"] == 0, ["other", "near_acc"]] = [0, np.nan]
    return frame


def pair_rows():
    rows = [("cifar10", 0.1, "cat", "cat"), ("cifar10", 0.2, "dog", "cat"), ("cifar100", 0.0, "baby", "girl")]
    return pd.DataFrame(rows, columns=["data", "distance", "test_class", "train_class"])


def lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def test_each_mark_is_the_mean_over_seeds_in_per_cent_and_says_so():
    figure = splits.split_scores(score_rows())
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Copies, labels drawn by lot", "The digits as they are"]
    for ax, kind in zip(figure.axes, (BY_LOT, "digits"), strict=True):
        for cut, mean in (("random", 11), ("clustered:distance=0.3", 21)):
            (mark,) = lines(ax, f"{kind}/{cut}/resnet8")
            assert mark.get_ydata()[0] == pytest.approx(mean)
            (dots,) = lines(ax, f"{kind}/{cut}/resnet8/seeds")
            assert sorted(dots.get_ydata()) == pytest.approx([mean - 1, mean + 1])
        assert [text.get_text() for text in ax.texts] == ["11", "21"] * 2
        assert [label.get_text() for label in ax.get_xticklabels()] == ["random", "clustered\n0.3"]


def test_what_can_be_understood_is_marked_where_labels_are_wrong():
    drawn, digits = splits.split_scores(score_rows()).axes
    (ceiling,) = lines(drawn, f"{BY_LOT}/ceiling")
    assert set(ceiling.get_ydata()) == {10.0}
    assert not lines(digits, "digits/ceiling")


def test_the_border_is_drawn_from_where_it_is_crossed_with_the_published_share():
    left, right = splits.border(border_rows()).axes
    for name, published in (("cifar10", 3.25), ("cifar100", 10.0)):
        (share,) = lines(left, f"{name}/share")
        assert list(share.get_xdata()) == [0.1, 0.2]
        assert list(share.get_ydata()) == pytest.approx([0.1, 1.0])
        (other,) = lines(left, f"{name}/other")
        assert list(other.get_ydata()) == pytest.approx([0.02, 0.02])
        (line,) = lines(left, f"{name}/published")
        assert set(line.get_ydata()) == {published}
        for part, height in (("near", 90), ("far", 40), ("all", 50)):
            (line,) = lines(right, f"{name}/{part}")
            assert line.get_ydata()[-1] == pytest.approx(height)
    assert left.get_yscale() == "log"


def test_pairs_of_two_classes_stand_in_red_boxes_with_both_names():
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 32, 32), dtype=np.uint8)
    figure = splits.closest_pairs(images, pair_rows())
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_xlabel() for ax in shown] == ["cat", "dog\ncat", "baby\ngirl"]
    assert [to_hex(ax.spines["top"].get_edgecolor()) == "#c1121f" for ax in shown] == [False, True, True]
    assert [ax.get_title() for ax in shown] == ["0.10", "0.20", "0.00"]
    for ax, pair in zip(shown, images, strict=True):
        drawn = np.asarray(ax.images[0].get_array())
        np.testing.assert_array_equal(drawn, np.concatenate(pair.transpose(0, 2, 3, 1)))
    assert [ax.get_ylabel() for ax in (shown[0], shown[2])] == ["CIFAR-10", "CIFAR-100"]


def test_pairs_without_their_images_or_columns_are_refused():
    images = np.zeros((2, 2, 3, 32, 32), dtype=np.uint8)
    with pytest.raises(ValueError, match="found 2 and 3 rows") as refusal:
        splits.closest_pairs(images, pair_rows())
    one_sentence(refusal.value)
    with pytest.raises(ValueError, match="'train_class'") as refusal:
        splits.closest_pairs(images, pair_rows().drop(columns="train_class"))
    one_sentence(refusal.value)
