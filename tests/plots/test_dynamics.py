"""The figures of training dynamics show the rows they are given, a slide a column, with the published end."""

import numpy as np
import pandas as pd
import pytest
from helpers.run_rows import rows

from robustdl_lib.plots import dynamics
from robustdl_lib.registry import FIGURES
from robustdl_lib.report import dynamics as rows_dynamics


def lines(figure, gid):
    return [line for ax in figure.axes for line in ax.lines if line.get_gid() == gid]


def test_the_panels_are_those_of_the_slides_a_column_a_slide():
    figure = dynamics.dynamics(rows())
    titles = [ax.get_title(loc="left")[:6] for ax in figure.axes]
    assert titles == ["36 (a)", "37 (a)", "38 (a)", "36 (b)", "37 (b)", "38 (b)"]
    assert set(dynamics.PANELS) == set(rows_dynamics.MEASURED)


@pytest.mark.parametrize("panel", rows_dynamics.MEASURED)
def test_a_line_is_the_mean_over_seeds_in_per_cent_with_the_published_end(panel):
    figure = dynamics.dynamics(rows())
    [line] = lines(figure, f"ls:eps=0.25/{panel}")
    mean = 100 * rows().query("method == 'ls:eps=0.25'").groupby("progress")[panel].mean()
    np.testing.assert_allclose(line.get_ydata(), mean)
    np.testing.assert_allclose(line.get_xdata(), mean.index)
    [mark] = lines(figure, f"ls:eps=0.25/{panel}/published")
    assert list(mark.get_ydata()) == [rows_dynamics.published().loc["ls", panel]]


def test_methods_beyond_the_five_are_left_out_and_taken_where_none_is_there():
    assert set(dynamics.dynamics_rows(rows(("cce", "dm")))["method"]) == {"cce"}
    alone = dynamics.dynamics_rows(rows(("dm", "mae")))
    assert set(alone["method"]) == {"dm", "mae"}
    assert set(alone["source"]) == {"here"}


def test_prepared_rows_stay_as_they_are():
    for prepare in (dynamics.dynamics_rows, dynamics.sure_rows):
        once = prepare(rows())
        pd.testing.assert_frame_equal(prepare(once), once)


def test_two_noises_are_refused():
    both = pd.concat([rows(), rows().assign(noise="symmetric:0.2")])
    for name in ("dynamics", "sure_and_right"):
        with pytest.raises(ValueError, match="one noise"):
            FIGURES[name](both)


def test_clean_labels_leave_the_noisy_panels_empty_and_say_so():
    clean = rows(("cce",)).assign(noise="none", fit_wrong=np.nan, corrected=np.nan, entropy_wrong=np.nan)
    said = [text.get_text() for ax in dynamics.dynamics(clean).axes for text in ax.texts]
    assert said.count("no label is wrong") == 3
    said = [text.get_text() for ax in dynamics.confidence(clean).axes for text in ax.texts]
    assert said == ["no label is wrong"] * 2


def test_the_way_goes_from_the_best_epoch_to_the_last():
    table = rows(("cce",))
    table["corrected"] = table["progress"].map({0.25: 0.5, 0.5: 0.8, 0.75: 0.6, 1.0: 0.3})
    figure = dynamics.confidence(table)
    [way] = lines(figure, "cce/way")
    assert list(way.get_ydata()) == pytest.approx([80.0, 30.0])
    entropy = table.groupby("progress")["entropy_wrong"].mean()
    assert list(way.get_xdata()) == pytest.approx([100 - 100 * entropy[0.5], 100 - 100 * entropy[1.0]])
    [test] = lines(figure, "cce/test")
    assert list(test.get_ydata()) == pytest.approx([100 * table.query("progress == 1")["test_acc"].mean()])
