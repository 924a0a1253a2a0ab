"""The figure of robust statistics draws its rows, names its lines, and marks modes and Hampel's knobs."""

import numpy as np
import pytest

from robustdl_lib.plots.robust_statistics import PANELS, robust_statistics
from robustdl_lib.registry import FIGURES
from robustdl_lib.theory.gradients import emphasis_mode
from robustdl_lib.theory.m_estimators import FAMILY, statistics_rows

SPECS = (*FAMILY, "hampel", "cce", "mae", "gce")


@pytest.fixture(scope="module")
def rows():
    return statistics_rows()


@pytest.fixture(scope="module")
def figure(rows):
    return robust_statistics(rows)


def drawn(figure, gid):
    """Return the panel's number and the line with this gid, which is drawn once."""
    [found] = [(place, line) for place, ax in enumerate(figure.axes) for line in ax.lines if line.get_gid() == gid]
    return found


def test_every_line_shows_its_rows(rows, figure):
    for spec, part in rows.groupby("method"):
        for place, column in enumerate(PANELS):
            panel, line = drawn(figure, f"{spec}/{column}")
            assert panel == place + (0 if spec in FAMILY else 3)
            np.testing.assert_array_equal(line.get_xdata(), part["residual"])
            np.testing.assert_array_equal(line.get_ydata(), part[column])


def test_no_line_is_without_a_name(figure):
    assert all(line.get_gid() for ax in figure.axes for line in ax.lines)


def test_dots_are_the_emphasis_modes_and_the_key_says_them(figure):
    for spec in SPECS:
        _, dot = drawn(figure, f"{spec}/mode")
        assert 1 - dot.get_xdata()[0] == pytest.approx(emphasis_mode(spec), abs=1 / 800)
    told = [text.get_text() for ax in (figure.axes[2], figure.axes[5]) for text in ax.get_legend().get_texts()]
    modes = [f"{emphasis_mode(spec):.2f}" for spec in FAMILY]
    assert told[: len(FAMILY)] == modes


def test_the_softmax_factor_stands_behind_the_densities(figure):
    backdrops = [line for ax in figure.axes for line in ax.lines if line.get_gid() == "softmax/density"]
    assert len(backdrops) == 2
    for line in backdrops:
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1.0, abs=1e-4)
        np.testing.assert_allclose(y, 6 * x * (1 - x))


def test_influence_and_emphasis_have_one_scale_so_that_they_can_be_multiplied(figure):
    assert figure.axes[1].get_ylim() == figure.axes[2].get_ylim() == figure.axes[4].get_ylim()
    highest = max(line.get_ydata().max() for ax in figure.axes for line in ax.lines if "density" in line.get_gid())
    assert highest < figure.axes[2].get_ylim()[1]


def test_lines_are_named_where_they_end(figure):
    above, below = ([text.get_text() for text in figure.axes[place].texts] for place in (1, 4))
    assert [words.split("  ")[1] for words in above] == ["L2", "Charbonnier", "Cauchy", "Geman-McClure", "Welsch"]
    assert above[-1].startswith("$\\alpha = -\\infty$")
    assert {"$a$", "$b$", "$c$", "MAE"} <= set(below)
    assert [words for words in below if "infty" in words] == [
        f"{name} $\\rightarrow \\infty$" for name in ("CCE", "GCE (q = 0.7)")
    ]


def test_hampel_s_letters_stand_at_its_knobs(figure):
    places = {text.get_text(): text.xy[0] for text in figure.axes[4].texts if text.get_text() in ("$a$", "$b$", "$c$")}
    assert places == {"$a$": 0.25, "$b$": 0.5, "$c$": 0.9}


def test_the_ramp_follows_alpha(figure):
    shades = [drawn(figure, f"{spec}/influence")[1].get_color() for spec in FAMILY]
    light = [sum(int(shade[i : i + 2], 16) * part for i, part in ((1, 0.3), (3, 0.59), (5, 0.11))) for shade in shades]
    assert light == sorted(light)
    assert len(set(shades)) == len(shades)


def test_one_group_alone_has_one_row_of_panels():
    assert len(robust_statistics(statistics_rows(["cce", "mae"])).axes) == 3
    alone = robust_statistics(statistics_rows(["barron:alpha=0.5,c=0.2"]))
    assert len(alone.axes) == 3
    assert [text.get_text() for text in alone.axes[1].texts] == ["$\\alpha = 0.5$"]


def test_it_is_registered_with_its_rows():
    entry = FIGURES.entry("robust_statistics")
    assert entry.facts.rows is statistics_rows
    assert entry.facts.columns == ("method", "residual", "loss", "influence", "density")
