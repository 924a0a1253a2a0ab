"""The explorer's figure in a notebook draws what it is given: curves, markers at psi, the trust."""

import math

import numpy as np
import pandas as pd
import pytest

from robustdl_lib.plots.explorer.figure import panels

TIMES, CONFIDENCES = np.linspace(0, 1, 5), np.linspace(0.1, 1, 4)
AT = {"time": 0.25, "confidence": 0.4, "g": 0.3, "l": 0.2, "epsilon": 0.06}


def figure(psi: float = 0.25):
    p = np.linspace(0, 1, 5)
    names = ("cce", "dm:beta=8,lam=0.5")
    curves = pd.concat([pd.DataFrame({"method": n, "p": p, "weight": 1 + p, "density": 2 - p}) for n in names])
    readings = pd.DataFrame({"psi": [psi, 0.75], "peak": [1.75, 1.25], "largest": [1.25, 1.75]}, index=list(names))
    in_time = pd.DataFrame({"time": TIMES, "g": TIMES**2})
    trust = in_time.merge(pd.DataFrame({"confidence": CONFIDENCES, "l": CONFIDENCES / 2}), how="cross")
    return panels(curves, readings, trust, AT)


def lines(index: int, **given: float):
    return {line.get_gid(): line.get_xydata().tolist() for line in figure(**given).axes[index].get_lines()}


def test_curves_and_markers_are_those_of_the_rows() -> None:
    density, weight = lines(0), lines(1)
    assert density["cce/density"] == [[p, 2 - p] for p in np.linspace(0, 1, 5)]
    assert weight["dm:beta=8,lam=0.5/weight"] == [[p, 1 + p] for p in np.linspace(0, 1, 5)]
    assert density["cce/psi"] == [[0.25, 1.75]]
    assert weight["dm:beta=8,lam=0.5/psi"] == [[0.75, 1.75]]


def test_a_flat_weight_has_no_marker() -> None:
    assert "cce/psi" not in lines(0, psi=math.nan)
    words = [text.get_text() for text in figure(psi=math.nan).axes[2].get_legend().get_texts()]
    assert words[0] == "CCE, flat"
    assert "psi$ = 0.75" in words[1]


def test_trust_is_drawn_and_marked_where_the_sliders_stand() -> None:
    assert lines(3)["trust/g"] == [[t, t**2] for t in TIMES]
    assert lines(4)["trust/l"] == [[c, c / 2] for c in CONFIDENCES]
    assert [lines(index)["trust/at"] for index in (3, 4, 5)] == [[[0.25, 0.3]], [[0.4, 0.2]], [[0.25, 0.4]]]
    titles = [ax.get_title(loc="left") for ax in figure().axes[3:]]
    assert [title.split("= ")[-1] for title in titles] == ["0.300", "0.200", "0.060"]


@pytest.mark.parametrize("index", [0, 1, 3, 4, 5])
def test_axes_are_named(index: int) -> None:
    ax = figure().axes[index]
    assert ax.get_xlabel()
    assert ax.get_ylabel()
