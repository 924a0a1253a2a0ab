"""A method keeps its look, looks can be told apart in grey, and labels do not overlap."""

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb

from robustdl_lib.plots import style
from robustdl_lib.registry import METHODS


def test_known_methods_look_different_and_keep_their_look():
    looks = {name: style.style(name) for name in style.STYLES}
    assert len({look.color for look in looks.values()}) == len(looks)
    assert len({(str(look.linestyle), look.marker) for look in looks.values()}) == len(looks)
    assert style.style("gce:q=0.3") == looks["gce"]
    assert style.styles(["gce"])["gce"] == style.styles(["proselflc", "gce", "cce"])["gce"] == looks["gce"]
    assert style.order(["proselflc", "dm", "cce", "gce"]) == style.order(["gce", "cce", "dm", "proselflc"])


def test_lightness_or_line_tells_methods_apart_in_grey():
    grey = {name: float(np.dot(to_rgb(look.color), [0.299, 0.587, 0.114])) for name, look in style.STYLES.items()}
    names = list(grey)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            same_line = style.STYLES[one].linestyle == style.STYLES[other].linestyle
            assert not same_line or abs(grey[one] - grey[other]) > 0.05, (one, other)
    assert max(grey.values()) < 0.75


def test_specs_of_one_method_share_the_hue_and_differ_in_line_and_lightness():
    specs = ["dm:beta=12,lam=1", "dm:beta=2,lam=1", "dm:beta=8,lam=1"]
    looks = style.styles(specs)
    assert list(looks) == ["dm:beta=2,lam=1", "dm:beta=8,lam=1", "dm:beta=12,lam=1"]
    assert len({look.color for look in looks.values()}) == len({str(look.linestyle) for look in looks.values()}) == 3
    hues = [rgb_to_hsv(to_rgb(look.color))[0] for look in looks.values()]
    np.testing.assert_allclose(hues, hues[0], atol=0.02)
    assert style.labels(["dm", "dm:beta=8,lam=1"])["dm"] == "DM (beta = 12, lam = 0.5)"
    assert style.labels(["cce"])["cce"] == "CCE"


def test_labels_are_moved_apart_in_order_and_no_further_than_needed():
    np.testing.assert_allclose(style.spread([0.2, 0.8], 0.1), [0.2, 0.8])
    np.testing.assert_allclose(style.spread([0.5, 0.5], 0.1), [0.45, 0.55])
    np.testing.assert_allclose(style.spread([0.99, 1.0, 0.1], 0.1), [0.9, 1.0, 0.1])
    crowded = style.spread([0.5] * 30, 0.1)
    assert crowded.min() >= 0
    assert crowded.max() <= 1 + 1e-12
    assert (np.diff(crowded) > 0).all()
    assert len(style.spread([], 0.1)) == 0


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 2, 1), (3, 4, 1), (4, 5, 1), (7, 4, 2), (8, 5, 2), (11, 4, 3)]
)
def test_the_key_has_no_row_of_its_own(count: int, columns: int, rows: int) -> None:
    _, panels, cell = style.multiples(list(METHODS)[:count], "x", "y")
    grid = cell.get_subplotspec().get_gridspec()
    assert (grid.ncols, grid.nrows) == (columns, rows)
    assert len(panels) == count
    assert cell not in panels.values()
