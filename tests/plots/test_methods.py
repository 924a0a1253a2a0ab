"""The figures of the lens draw the rows they are given: every curve with its data, the mode at its place."""

import numpy as np
import pytest

from robustdl_lib import losses
from robustdl_lib.plots import methods
from robustdl_lib.plots.style import Chart
from robustdl_lib.registry import FIGURES, METHODS
from robustdl_lib.theory import method_card


def drawn(chart: Chart) -> dict[str, np.ndarray]:
    return {line.get_gid(): line.get_xydata() for ax in chart.axes for line in ax.get_lines() if line.get_gid()}


@pytest.mark.parametrize("spec", ["cce", "gce", "dm", "proselflc"])
def test_the_lens_draws_its_four_curves(spec: str) -> None:
    rows = method_card.lens_rows(spec, progress=0.5)
    lines = drawn(methods.lens(rows))
    for panel in methods.PANELS:
        part = rows[(rows["method"] == spec) & (rows["panel"] == panel)].dropna()
        np.testing.assert_array_equal(lines[f"{spec}/{panel}"], part[["p", "value"]])
        assert f"cce/{panel}" in lines
    assert lines[f"{spec}/mode"][0, 1] == rows[(rows["panel"] == "density") & (rows["method"] == spec)]["value"].max()


def test_a_weighting_says_that_it_has_no_loss() -> None:
    texts = [text.get_text() for text in methods.lens(method_card.lens_rows("dm")).axes[0].texts]
    assert texts == ["none: the weight is stated"]


def test_what_diverges_at_an_end_does_not_set_the_scale() -> None:
    chart = methods.lens(method_card.lens_rows("cce"))
    assert chart.axes[1].get_ylim()[1] < 100


def test_the_atlas_has_a_panel_for_each_method_also_for_one_added_at_run_time() -> None:
    METHODS.register("late", label="Late", source="a test", role="loss")(losses.mse)
    rows = method_card.atlas_rows()
    chart = FIGURES["atlas"](rows)
    lines, titles = drawn(chart), {ax.get_title(loc="left") for ax in chart.axes}
    for spec in METHODS:
        assert METHODS.parse(spec).label in titles
        np.testing.assert_array_equal(lines[f"{spec}/density"], rows[rows["method"] == spec][["p", "density"]])
    assert "late" in METHODS
    assert lines["late/mode"][0, 0] == pytest.approx(1 / 3, abs=1e-6)


def test_a_flat_density_has_no_marker() -> None:
    assert "dm:beta=0/mode" not in drawn(methods.lens(method_card.lens_rows("dm:beta=0")))
