"""The triangles show the targets, directions and ends of their rows."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.quiver import Quiver

from robustdl_lib.plots import simplex as simplex_plots
from robustdl_lib.plots import style
from robustdl_lib.registry import FIGURES
from robustdl_lib.theory import simplex

ARMS = {
    "CCE": "cce",
    "Boot-soft": "boot_soft:eps=0.5",
    "detached": "boot_soft:eps=0.5,detach=True",
    "CCE, slower": "cce",
}


def lines(figure, gid):
    return [line for ax in figure.axes for line in ax.lines if line.get_gid() == gid]


def data(line):
    return np.transpose(np.array(line.get_data(), dtype=float))


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def arm_rows(arms=ARMS, seeds=(0, 1)):
    rng = np.random.default_rng(0)
    measured = ("test_acc", "entropy_wrong", "p_wrong")
    keys = [(arm, spec, seed, epoch) for arm, spec in arms.items() for seed in seeds for epoch in (1, 2, 3)]
    frame = pd.DataFrame(keys, columns=["arm", "method", "seed", "epoch"])
    return frame.assign(**{name: rng.uniform(0.2, 0.9, len(frame)) for name in measured}, peak_lr=0.1)


@pytest.fixture(scope="module")
def targets_drawn():
    rows = simplex.target_rows()
    return rows, FIGURES["simplex_targets"](rows)


@pytest.fixture(scope="module")
def fields_drawn():
    rows = simplex.field_rows(["cce", "mae", "boot_soft:eps=0.5,detach=True", "ls:eps=0.5", "boot_soft:eps=0.5"])
    return rows, FIGURES["simplex_fields"](rows)


def test_each_target_is_drawn_at_its_point_divided_by_its_sum(targets_drawn):
    rows, figure = targets_drawn
    for spec in simplex.TARGETS:
        point = rows[rows["series"] == spec][list(simplex.POINT)].to_numpy()
        (line,) = lines(figure, spec)
        np.testing.assert_allclose(data(line), simplex.flatten(point / point.sum()))
        assert (line.get_markerfacecolor() == "white") == (spec == "cp:eps=0.25")


def test_what_sums_to_less_than_one_says_so(targets_drawn):
    said = [text for text in texts(targets_drawn[1]) if "sum" in text]
    assert said == ["CP (eps = 0.25): sums to 0.5,\nhere divided by its sum"]


def test_arrows_start_at_the_label_and_end_at_the_target(targets_drawn):
    rows, figure = targets_drawn
    arrows = [text for ax in figure.axes for text in ax.texts if text.arrow_patch]
    assert len(arrows) == len(simplex.TARGETS)
    heads = {tuple(np.round(arrow.xy, 9)) for arrow in arrows}
    points = rows[rows["series"].isin(simplex.TARGETS)][list(simplex.POINT)].to_numpy()
    expected = simplex.flatten(points / points.sum(axis=1, keepdims=True)).round(9)
    assert heads == {tuple(place) for place in expected}
    assert {tuple(arrow.get_position()) for arrow in arrows} == {(0.0, 1.0)}


def test_proselflc_is_a_way_through_the_triangle(targets_drawn):
    rows, figure = targets_drawn
    (line,) = lines(figure, "proselflc")
    way = rows[rows["series"] == "proselflc"]
    np.testing.assert_allclose(data(line), simplex.flatten(way[list(simplex.POINT)]))
    for time in simplex_plots.MARKED:
        (mark,) = lines(figure, f"proselflc/{time}")
        point = way.loc[(way["progress"] - time).abs().idxmin(), list(simplex.POINT)].astype(float)
        np.testing.assert_allclose(data(mark)[0], simplex.flatten(point))


def test_regions_are_where_a_class_is_the_largest(targets_drawn):
    patches = [patch for patch in targets_drawn[1].axes[0].patches if patch.get_gid() != "triangle"]
    assert len(patches) == 3
    for point in simplex.grid(7, 0.01):
        if np.sort(point)[-1] - np.sort(point)[-2] > 1e-6:
            inside = [bool(patch.get_path().contains_point(simplex.flatten(point))) for patch in patches]
            assert inside.index(True) == point.argmax()
            assert sum(inside) == 1


def panels(figure):
    return {
        found.get_gid().removesuffix("/steps"): (ax, found)
        for ax in figure.axes
        for found in ax.collections
        if isinstance(found, Quiver)
    }


def test_arrows_are_the_directions_of_the_rows(fields_drawn):
    rows, figure = fields_drawn
    assert list(panels(figure)) == list(rows["method"].unique())
    for spec, (_, arrows) in panels(figure).items():
        steps = rows[(rows["method"] == spec) & (rows["kind"] == "step")]
        np.testing.assert_allclose(arrows.XY, simplex.flatten(steps[list(simplex.POINT)]))
        drawn, asked = np.stack([arrows.U, arrows.V], axis=1), simplex.flatten(steps[list(simplex.MOTION)])
        length = np.hypot(drawn[:, 0], np.sqrt(3) * drawn[:, 1])
        np.testing.assert_allclose(length, 0.13)
        scale = np.hypot(asked[:, 0], np.sqrt(3) * asked[:, 1])
        np.testing.assert_allclose(drawn * scale[:, None], asked * 0.13, atol=1e-12)
        np.testing.assert_allclose(np.cos(np.radians(arrows.get_array())), steps["cosine"], atol=1e-9)


def test_what_is_parallel_to_cross_entropy_stands_above_with_the_same_arrows(fields_drawn):
    _, figure = fields_drawn
    found = panels(figure)
    titles = [part.get_suptitle() for part in figure.subfigs]
    above = [spec for spec, (ax, _) in found.items() if ax.figure is figure.subfigs[0]]
    assert above == ["cce", "mae", "boot_soft:eps=0.5,detach=True"]
    assert "same directions" in titles[0]
    plain = found["cce"][1]
    for spec in above[1:]:
        np.testing.assert_allclose(found[spec][1].U, plain.U, atol=1e-9)
        np.testing.assert_allclose(found[spec][1].V, plain.V, atol=1e-9)
    assert np.abs(found["ls:eps=0.5"][1].V - plain.V).max() > 0.05


def test_stars_are_the_ends_and_the_strongest_step_is_told(fields_drawn):
    rows, figure = fields_drawn
    for spec, (ax, _) in panels(figure).items():
        part = rows[rows["method"] == spec]
        (stars,) = lines(figure, f"{spec}/ends")
        np.testing.assert_allclose(data(stars), simplex.flatten(part[part["kind"] == "end"][list(simplex.POINT)]))
        assert ax.get_xlabel().endswith(f"= {part['norm'].max():.3g}")
        assert style.labels([spec])[spec].replace(" (", "\n(") == ax.get_title(loc="left")


def test_the_key_tells_the_time(fields_drawn):
    assert any(f"= {simplex.LATE:g}" in text for text in texts(fields_drawn[1]))


@pytest.mark.parametrize("methods", [["cce"], ["ls:eps=0.5"]])
def test_one_method_can_be_drawn(methods, no_warnings):
    assert FIGURES["simplex_fields"](simplex.field_rows(methods))._repr_png_().startswith(b"\x89PNG")


def test_disguise_shows_endings_means_and_distances():
    rows = arm_rows()
    figure = simplex_plots.disguise(rows)
    last = rows[rows["epoch"] == 3]
    for place, arm in enumerate(ARMS):
        found = 100 * last[last["arm"] == arm]["test_acc"]
        np.testing.assert_allclose(data(lines(figure, f"{arm}/seeds")[0])[:, 0], found)
        np.testing.assert_allclose(data(lines(figure, f"{arm}/last")[0])[0], [found.mean(), -place])
        means = rows[rows["arm"] == arm].groupby("epoch")["entropy_wrong"].mean()
        np.testing.assert_allclose(data(lines(figure, f"{arm}/entropy_wrong")[0])[:, 1], means)
        if arm != "detached":
            gap = simplex.apart(rows, arm, "detached", "p_wrong")
            np.testing.assert_allclose(data(lines(figure, f"{arm}/drift")[0])[:, 1], gap)
    assert not lines(figure, "detached/drift")
    assert len({line.get_color() for arm in ARMS for line in lines(figure, f"{arm}/last")}) == len(ARMS)


def test_disguise_without_a_detached_arm_says_so():
    figure = simplex_plots.disguise(arm_rows({"CCE": "cce"}))
    assert "no arm here is detached" in texts(figure)


def test_disguise_names_a_missing_column_and_takes_arms_of_several_rates():
    rows = arm_rows()
    rows.loc[rows["arm"] == "CCE, slower", "peak_lr"] = 0.05
    assert simplex_plots.disguise(rows)._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="'p_wrong'"):
        simplex_plots.disguise(rows.drop(columns="p_wrong"))


def test_they_are_registered_with_their_rows():
    for name, series in (("simplex_targets", "series"), ("simplex_fields", "method")):
        entry = FIGURES.entry(name)
        assert set(entry.facts.columns) == set(entry.facts.rows().columns)
        assert entry.facts.rows()[series].nunique() >= 7
