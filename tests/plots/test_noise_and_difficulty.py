"""The figure of noise against difficulty draws what its rows say."""

import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence

from robustdl_lib.plots.noise_and_difficulty import COLUMNS, noise_and_difficulty


def rows():
    curves = [
        {"kind": "curve", "method": m, "epoch": e, "p_clean": 0.1 * e, "p_wrong": 0.01 * e, "test_acc": 0.2 * e}
        for m in ("cce", "dm")
        for e in (1, 2, 3)
    ]
    best, tries, choices = [], [], []
    for rate, top in ((0.0, 0), (0.4, 2)):
        for place, lam in enumerate((0.0, 0.5, 1.0)):
            last = 90.0 - 5 * abs(place - top)
            common = {"rate": rate, "wrong": 1.01 * rate, "lam": lam, "psi": lam / (lam + 1), "beta": 8.0}
            best.append({"kind": "best", **common, "last": last, "val": last})
            tries += [{"kind": "try", **common, "seed": seed, "last": last + seed, "val": last} for seed in (-1, 1)]
        psi = [0.0, 1 / 3, 0.5][top]
        ends = {"psi": psi, "low": psi - 0.1, "high": psi + 0.1, "published": 0.5, "rate": rate, "wrong": 1.01 * rate}
        choices += [{"kind": "choice", "by": by, **ends} for by in ("val", "last")]
    return pd.DataFrame([*curves, *best, *tries, *choices]).reindex(columns=list(COLUMNS))


def line(ax, gid):
    (found,) = [one for one in ax.lines if one.get_gid() == gid]
    return found


def test_the_upper_panels_show_belief_and_accuracy_in_time():
    beliefs, tests, *_ = noise_and_difficulty(rows()).axes
    for method in ("cce", "dm"):
        assert line(beliefs, f"{method}/p_clean").get_ydata() == pytest.approx([0.1, 0.2, 0.3])
        assert line(beliefs, f"{method}/p_wrong").get_ydata() == pytest.approx([0.01, 0.02, 0.03])
        assert line(tests, f"{method}/test").get_ydata() == pytest.approx([20, 40, 60])


def test_the_third_panel_rings_the_best_mode_of_each_rate_and_shows_every_run():
    modes = noise_and_difficulty(rows()).axes[2]
    assert line(modes, "0/top").get_xdata()[0] == 0
    assert line(modes, "0.4/top").get_xdata()[0] == 0.5
    assert line(modes, "0.4/best").get_ydata() == pytest.approx([80, 85, 90])
    assert len(line(modes, "0.4/tries").get_xdata()) == 6
    assert {text.get_text() for text in modes.texts} == {"0 % wrong", "40 % wrong"}


def test_the_fourth_panel_shows_the_chosen_and_the_published_modes():
    steps = noise_and_difficulty(rows()).axes[3]
    assert line(steps, "published").get_ydata() == pytest.approx([0.5, 0.5])
    for by in ("val", "last"):
        assert line(steps, f"{by}/psi").get_ydata() == pytest.approx([0, 0.5])
        (bars,) = [found for found in steps.collections if found.get_gid() == f"{by}/close"]
        assert np.array(bars.get_segments())[:, :, 1] == pytest.approx(np.array([[-0.1, 0.1], [0.4, 0.6]]))


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="reads the column") as caught:
        noise_and_difficulty(rows().drop(columns="psi"))
    one_sentence(caught.value, "'psi'")
