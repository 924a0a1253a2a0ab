"""Figures of training show the means, the best and last epochs, and the histograms of the rows they are given."""

import numpy as np
import pytest
from helpers.drawn import BINS, EPOCHS, SPECS, close, drawn, histogram_rows, run_rows

from robustdl_lib import summary
from robustdl_lib.plots import style
from robustdl_lib.registry import FIGURES


@pytest.mark.parametrize(
    ("name", "columns", "scale"),
    [
        ("learning_curves", ["test_acc"], 100),
        ("fitting", ["clean_acc", "fit_wrong", "corrected"], 100),
        ("p_y_dynamics", ["p_clean", "p_wrong"], 1),
        ("entropy", ["entropy_clean", "entropy_wrong"], 1),
    ],
)
def test_lines_are_means_over_seeds_of_the_noisy_runs(name, columns, scale):
    rows = run_rows()
    figure = FIGURES[name](rows)
    noisy = rows[rows["noise"] != "none"]
    for spec in SPECS:
        means = noisy[noisy["method"] == spec].groupby("epoch")[columns].mean()
        for column in columns:
            close(drawn(figure, f"{spec}/{column}")[0], means.index, scale * means[column])


def test_learning_curves_show_the_clean_reference_the_best_and_the_last_epoch():
    rows = run_rows()
    figure = FIGURES["learning_curves"](rows)
    clean = rows[rows["noise"] == "none"].groupby("epoch")["test_acc"].mean()
    references = drawn(figure, "clean/test_acc")
    assert len(references) == len(SPECS)
    close(references[0], clean.index, 100 * clean)
    mean = 100 * rows[(rows["noise"] != "none") & (rows["method"] == "cce")].groupby("epoch")["test_acc"].mean()
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == [f"{mean.max():.0f} $\\rightarrow$ {mean.iloc[-1]:.0f}"]


def test_headline_shows_what_the_summary_says():
    rows = run_rows()
    figure = FIGURES["headline"](rows)
    table = summary.headline(rows)
    noisy = table[table["noise"] != "none"].set_index("method")
    for spec in SPECS:
        assert drawn(figure, f"{spec}/last")[0].get_xdata()[0] == pytest.approx(noisy.loc[spec, "last_mean"])
        assert drawn(figure, f"{spec}/best")[0].get_xdata()[0] == pytest.approx(noisy.loc[spec, "oracle_mean"])
        assert len(drawn(figure, f"{spec}/seeds")[0].get_xdata()) == 2
    clean = table.loc[table["noise"] == "none", "last_mean"].item()
    assert drawn(figure, "clean/last")[0].get_xdata()[0] == pytest.approx(clean)
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert shown == [style.labels([spec])[spec] for spec in noisy.sort_values("last_mean").index]


def test_histograms_are_the_last_epochs_mean_without_the_clean_runs():
    rows = histogram_rows()
    figure = FIGURES["p_y_histograms"](rows)
    last = rows[(rows["epoch"] == EPOCHS) & (rows["run_id"] != "clean")]
    shown = {patch.get_gid(): patch for ax in figure.axes for patch in ax.patches if patch.get_gid()}
    for spec in SPECS:
        for subset in ("clean", "wrong"):
            part = last[(last["method"] == spec) & (last["subset"] == subset)]
            values, edges, _ = shown[f"{spec}/{subset}"].get_data()
            np.testing.assert_allclose(values, part.groupby("p")["count"].sum() / 2)
            np.testing.assert_allclose(edges, np.linspace(0, 1, BINS + 1))


def test_trust_shows_the_formulas_and_the_measured_average():
    rows = run_rows()
    figure = FIGURES["trust"](rows)
    x = np.asarray(drawn(figure, "time/B = 10")[0].get_xdata(), float)
    close(drawn(figure, "time/B = 10")[0], x, 1 / (1 + np.exp(-10 * (x - 0.5))))
    line = drawn(figure, "confidence/C = 2")[0]
    inside = np.asarray(line.get_xdata(), float)[1:-1]
    expected = 1 + (inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float)[1:-1], expected, atol=1e-9)
    mean = rows[rows["method"] == "boot_soft:eps=0.5"].groupby("progress")["trust"].mean()
    close(drawn(figure, "measured/boot_soft:eps=0.5")[0], mean.index, mean)
    assert not [line for line in figure.axes[2].lines if line.get_gid() == "measured/cce"]
