"""The figures of adverse cases: red boxes where something is wrong, matrices with their asymmetry, dots at AUROCs."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence
from matplotlib.colors import to_hex

from robustdl_lib.data import cifar  # noqa: F401 - cifar enters its data sets
from robustdl_lib.data.noise import transition_matrix
from robustdl_lib.plots import adverse
from robustdl_lib.plots.adverse import KINDS, RED, SCORES, SEEN

THUMBS = pd.DataFrame(
    {
        "group": ["first", "first", "second"],
        "kind": ["ordinary", "mislabelled", "ambiguous"],
        "given": ["cat", "dog", "ship"],
        "true": ["cat", "deer", "ship and bird"],
    }
)


def matrix_rows(spec: str, matrix: np.ndarray, names: str = "zyxwvutsrq") -> pd.DataFrame:
    true, given = (np.array(list(names[: len(matrix)]))[index.ravel()] for index in np.indices(matrix.shape))
    return pd.DataFrame({"spec": spec, "true": true, "given": given, "realised": matrix.ravel()})


def detection_rows(seeds: int = 2) -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [["cce", "dm"], range(seeds), SEEN, [*KINDS, "clean"], [*SCORES, "contradicted"]],
        names=["method", "seed", "seen", "kind", "score"],
    )
    rows = index.to_frame(index=False)
    rows["auroc"] = np.linspace(0.45, 0.99, len(rows))
    return rows.assign(
        auroc=rows["auroc"].where(rows["kind"] != "clean"), count=np.arange(len(rows)), dataset="cifar10"
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_adverse_stand_in_red_boxes_with_label_and_truth(channels: int) -> None:
    images = np.full((3, channels, 4, 4), 200, dtype=np.uint8)
    figure = adverse.gallery(images, THUMBS)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_xlabel() for ax in shown] == [
        "given cat,\nis cat",
        "given dog,\nis deer",
        "given ship,\nis ship and bird",
    ]
    boxes = [to_hex(ax.spines["left"].get_edgecolor()) == RED for ax in shown]
    assert boxes == [False, True, True]
    assert [part.get_suptitle() for part in figure.subfigs] == ["first", "second"]
    drawn = np.asarray(shown[0].images[0].get_array())
    assert drawn.shape == ((4, 4) if channels == 1 else (4, 4, 3))
    assert drawn.max() == pytest.approx(200 / 255)


def test_a_gallery_refuses_rows_without_images() -> None:
    with pytest.raises(ValueError, match="found 2 images and 3 rows") as refusal:
        adverse.gallery(np.zeros((2, 1, 4, 4), np.uint8), THUMBS)
    one_sentence(refusal.value)
    with pytest.raises(ValueError, match="true") as refusal:
        adverse.gallery(np.zeros((3, 1, 4, 4), np.uint8), THUMBS.drop(columns="true"))
    one_sentence(refusal.value)


def test_asymmetry_is_0_for_symmetric_and_near_1_for_few_pairs() -> None:
    assert adverse.asymmetry(transition_matrix("symmetric:0.4", num_classes=10)) == pytest.approx(0, abs=1e-12)
    few = adverse.asymmetry(transition_matrix("asymmetric:0.4", num_classes=10))
    assert few == pytest.approx(1 - 5 / 90)  # all errors in 5 of 90 pairs, which keep their even share of them
    assert math.isnan(adverse.asymmetry(np.eye(3)))


def test_asymmetry_is_the_share_of_errors_to_be_moved() -> None:
    matrix = transition_matrix("symmetric:0.3", num_classes=4)
    matrix[0, 1] += 0.06
    matrix[0, 2] -= 0.06
    assert adverse.asymmetry(matrix) == pytest.approx(0.06 / (4 * 0.3))


def test_matrices_keep_the_order_of_classes_and_say_their_rates() -> None:
    matrices = {"symmetric:0.4": 0.4, "asymmetric:0.4": 0.4}
    rows = pd.concat([matrix_rows(spec, transition_matrix(spec, num_classes=10)) for spec in matrices])
    figure = adverse.noises(rows)
    table = adverse.matrix_of(rows, "asymmetric:0.4")
    assert "".join(table.index) == "".join(table.columns) == "zyxwvutsrq"
    np.testing.assert_allclose(table, transition_matrix("asymmetric:0.4", num_classes=10))
    first, second = (ax.get_title() for ax in figure.axes[:2])
    assert first == "symmetric:0.4\n40 % wrong, 40 to 40 % by class, A = 0.00"
    assert second == "asymmetric:0.4\n20 % wrong, 0 to 40 % by class, A = 0.94"


def test_a_dot_stands_at_the_mean_auroc_of_each_line() -> None:
    rows = detection_rows()
    figure = adverse.detection(rows)
    for ax, seen in zip(figure.axes, SEEN, strict=True):
        marks = {line.get_gid(): line for line in ax.lines if line.get_gid()}
        for place, (kind, score) in enumerate((kind, score) for kind in KINDS for score in SCORES):
            for method in ("cce", "dm"):
                dot = marks[f"{seen}/{method}/{kind}/{score}"]
                part = rows.query("seen == @seen and method == @method and kind == @kind and score == @score")
                assert dot.get_xdata()[0] == pytest.approx(part["auroc"].mean())
                assert abs(dot.get_ydata()[0] - place) < 0.5
                assert len(marks[f"{seen}/{method}/{kind}/{score}/seeds"].get_xdata()) == 2
        assert f"{seen}/chance" in marks
        assert not [gid for gid in marks if "contradicted" in gid or "/clean/" in gid]
    assert figure.get_suptitle().endswith("each kind of example: CIFAR-10")
    low, high = figure.axes[0].get_xlim()
    assert low < rows["auroc"].min()
    assert high > rows["auroc"].max()


def test_what_is_not_known_has_no_dot() -> None:
    rows = detection_rows(seeds=1)
    rows.loc[rows["kind"] == "ambiguous", "auroc"] = np.nan
    figure = adverse.detection(rows)
    gids = [line.get_gid() or "" for line in figure.axes[0].lines if len(line.get_xdata())]
    assert not [gid for gid in gids if "ambiguous" in gid or gid.endswith("/seeds")]
    assert [gid for gid in gids if "mislabelled" in gid]
