"""Figures draw the rows that they are given, refuse rows that they cannot draw, and are written whole or not at all."""

import hashlib
import inspect
import io
import json
import sys
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from helpers.cases import one_sentence
from helpers.drawn import SPECS, close, drawn, histogram_rows, run_rows
from matplotlib.figure import Figure
from PIL import Image

from robustdl_lib import cli, losses, plots, store
from robustdl_lib.plots import rows as frames
from robustdl_lib.plots import style
from robustdl_lib.registry import FIGURES, METHODS, STUDIES, SpecError

MARKS = {"kind", "setting", "panel"}
PREPARED = {"setting", "panel", "sure"}


def few_targets(**how):
    """Return the rows of two panels, which are quick to draw."""
    rows = frames.target_rows(**how)
    return rows[rows["method"].isin(["learner", "proselflc"])].reset_index(drop=True)


@cache
def cached_rows(name):
    if name == "targets":
        return few_targets()
    computed = plots.computed(name)
    return (
        computed
        if computed is not None
        else {"runs": run_rows, "p_y": histogram_rows}[FIGURES.entry(name).facts.rows]()
    )


def rows_for(name):
    """Return a copy of small rows that the figure can draw."""
    return cached_rows(name).copy()


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_draws_its_rows_and_leaves_no_global_state(name):
    before = dict(matplotlib.rcParams)
    rows = rows_for(name)
    kept = rows.copy()
    figure = FIGURES[name](rows)
    assert isinstance(figure, Figure)
    shown = [ax for ax in figure.axes if ax.axison]
    assert bool(shown) != FIGURES.entry(name).facts.diagram  # boxes and arrows have no axes to label
    assert not shown or (shown[-1].get_xlabel() and shown[0].get_ylabel())
    assert dict(matplotlib.rcParams) == before
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        assert pyplot.get_fignums() == []
    pd.testing.assert_frame_equal(rows, kept)


def test_nothing_uses_pyplot():
    for module in (plots, style, frames):
        assert "import matplotlib.pyplot" not in inspect.getsource(module)


@pytest.mark.parametrize("name", list(FIGURES))
def test_entries_say_what_a_reader_needs(name):
    entry = FIGURES.entry(name)
    assert entry.label.endswith(".")
    assert entry.label.count(". ") == 0
    assert "Talk" in entry.source
    rows = entry.facts.rows
    assert callable(rows) or rows in ("runs", "p_y") or rows.removeprefix("study:") in STUDIES
    assert entry.facts.columns


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FIGURES))
def test_rows_or_the_saved_csv_draw_the_same_bytes_whatever_the_settings(name, tmp_path):
    first = plots.save(name, rows_for(name), tmp_path / "a", {"runs": ["x"]})
    with matplotlib.rc_context({"svg.hashsalt": None, "savefig.dpi": 33, "savefig.bbox": "tight"}):
        plots.save(name, plots.read(tmp_path / "a" / f"{name}.csv"), tmp_path / "b", {"runs": ["x"]})
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(name + ending for ending in (".png", ".svg", ".csv", ".json"))
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    assert first == tmp_path / "a" / f"{name}.png"
    Image.open(first).verify()


def test_the_json_says_what_the_figure_was_drawn_from(tmp_path):
    plots.save("learning_curves", run_rows(), tmp_path, {"runs": {"abc": 1}, "device": "cpu"})
    record = json.loads((tmp_path / "learning_curves.json").read_text())
    table = (tmp_path / "learning_curves.csv").read_bytes()
    assert record["figure"] == "learning_curves"
    assert record["caption"] == FIGURES.entry("learning_curves").label
    assert record["source"] == "Talk, slide 11"
    assert record["provenance"] == {"runs": {"abc": 1}, "device": "cpu"}
    assert record["sha256"] == hashlib.sha256(table).hexdigest()
    columns = FIGURES.entry("learning_curves").facts.columns
    assert list(pd.read_csv(io.BytesIO(table)).columns) == list(columns)
    assert b"\r" not in table


def test_neither_png_nor_svg_tells_the_date_or_the_program(tmp_path):
    path = plots.save("targets", few_targets(), tmp_path, {})
    assert not Image.open(path).info.keys() & {"Software", "Creation Time"}
    svg = path.with_suffix(".svg").read_text()
    assert "<dc:date>" not in svg
    assert "Matplotlib v" not in svg


def test_curves_show_the_rows():
    rows = frames.emphasis_rows()
    figure = FIGURES["emphasis_density"](rows)
    for spec, part in rows.groupby("method"):
        close(drawn(figure, f"{spec}/density")[0], part["p"], part["density"])
    rows = frames.weight_rows()
    figure = FIGURES["weight_curves"](rows)
    for spec, part in rows.groupby("method"):
        close(drawn(figure, f"{spec}/weight")[0], part["p"], part["weight"])


def test_default_curves_are_those_of_the_reference():
    density = frames.emphasis_rows().groupby("method")
    area = density.apply(lambda part: np.trapezoid(part["density"], part["p"]))
    np.testing.assert_allclose(area, 1.0, atol=1e-3)
    modes = density.apply(lambda part: part.loc[part["density"].idxmax(), "p"])
    expected = {"cce": 0, "mae": 1 / 2, "mse": 1 / 3, "gce": 0.7 / 1.7, "dm:beta=2,lam=0": 0, "dm:beta=8,lam=2": 2 / 3}
    assert dict(modes) == pytest.approx(expected, abs=1 / 300)
    peaks = frames.weight_rows().groupby("method")["weight"].max()
    assert peaks["dm:beta=12,lam=0.5"] == pytest.approx(101.4, abs=0.1)
    assert peaks["dm:beta=16,lam=1"] == pytest.approx(54.6, abs=0.1)


def test_a_grid_of_one_method_has_a_panel_for_each_value_of_its_last_knob():
    specs = ["cce", *(f"dm:beta={beta},lam={lam}" for lam in (0, 1) for beta in (2, 4))]
    assert list(frames.emphasis_panels(specs)) == ["", "DM, lam = 0", "DM, lam = 1"]
    assert list(frames.emphasis_panels(frames.emphasis_rows()["method"].unique())) == [""]


def test_targets_are_those_of_the_methods():
    rows = frames.target_rows()
    figure = FIGURES["targets"](rows)
    heights = [bar.get_height() for ax in figure.axes for bar in ax.patches]
    np.testing.assert_allclose(heights, rows["probability"])
    target = rows.pivot(index="method", columns="klass", values="probability")[list(frames.CLASSES)]
    np.testing.assert_allclose(target.loc["ls:eps=0.25"], [0.75 + 0.25 / 3, 0.25 / 3, 0.25 / 3])
    np.testing.assert_allclose(target.loc["cp:eps=0.25"], [0.74, -0.23, -0.01])
    np.testing.assert_allclose(target.loc["boot_soft:eps=0.5"], [0.52, 0.46, 0.02])
    assert target.loc["proselflc"].idxmax() == "deer"


@pytest.mark.parametrize("name", [name for name in FIGURES if FIGURES.entry(name).facts.rows == "runs"])
def test_one_method_one_seed_and_clean_labels_can_be_drawn(name, no_warnings):
    noisy, clean = (run_rows(["gce"], noise=noise, seeds=[0]) for noise in ("symmetric:0.4", "none"))
    FIGURES[name](noisy[noisy["noise"] != "none"])
    assert FIGURES[name](clean)._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_missing_column_is_named(name):
    for column in FIGURES.entry(name).facts.columns:
        if column in MARKS:
            continue  # raw rows have none: it marks prepared ones
        rows = rows_for(name) if name != "trust" else frames.trust_rows(run_rows())
        rows = plots.table(name, rows) if PREPARED & set(FIGURES.entry(name).facts.columns) else rows
        with pytest.raises(ValueError, match=f"'{column}'") as refusal:
            FIGURES[name](rows.drop(columns=column))
        one_sentence(refusal.value, name)


@pytest.mark.parametrize("name", list(FIGURES))
def test_no_rows_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="there are none") as refusal:
        plots.save(name, rows_for(name).iloc[:0], tmp_path, {})
    one_sentence(refusal.value, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in FIGURES if FIGURES.entry(name).facts.rows == "runs"])
def test_what_an_empty_store_returns_is_refused(name):
    with pytest.raises(ValueError, match=r"reads the column|there are none"):
        FIGURES[name](store.no_rows())


@pytest.mark.parametrize("field", ["noise", "dataset", "model", "epochs"])
def test_runs_of_several_settings_are_not_averaged(field):
    rows = run_rows()
    rows.loc[rows.index[0], field] = 7 if field == "epochs" else "other"
    with pytest.raises(ValueError, match=f"one {field}, found"):
        FIGURES["learning_curves"](rows)


def test_an_unknown_figure_is_refused(tmp_path):
    with pytest.raises(SpecError, match="headline"):
        plots.save("headlines", run_rows(), tmp_path, {})


def test_an_added_method_gets_a_look_of_its_own_and_moves_no_other():
    before = {name: style.style(name) for name in METHODS}
    for name in ("first_added", "second_added"):
        METHODS.register(name, label=name, source="a test", role="loss")(losses.cce)
    added = [style.style("first_added"), style.style("second_added")]
    assert added[0] != added[1]
    assert not set(added) & set(style.STYLES.values())
    assert {name: style.style(name) for name in before} == before
    assert style.order(["second_added", "first_added", "cce"])[0] == "cce"
    figure = FIGURES["fitting"](run_rows([*SPECS, "first_added"]))
    assert drawn(figure, "first_added/fit_wrong")[0].get_color() == added[0].color


def test_an_added_figure_is_saved_like_the_others(tmp_path):
    @FIGURES.register("added", label="A line.", source="Talk", rows="runs", columns=("epoch", "test_acc"))
    def added(df):
        chart, (ax,) = style.canvas(1, 1, (2, 2))
        ax.plot(plots.table("added", df)["test_acc"])
        return chart

    assert plots.save("added", run_rows(), tmp_path, {}).is_file()


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    plots.save("targets", few_targets(), tmp_path, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = iter(range(100))

    def full(path, content, write=Path.write_bytes):
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        plots.save("targets", few_targets(progress=0.2), tmp_path, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(OSError, match="figures"):
        plots.save("targets", few_targets(), tmp_path / "figures", {})
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]


def test_a_figure_shows_itself_in_a_notebook():
    image = FIGURES["targets"](few_targets())._repr_png_()
    assert image.startswith(b"\x89PNG")
    assert image == FIGURES["targets"](few_targets())._repr_png_()


def test_the_command_draws_figures_that_need_no_run(tmp_path):
    cli.draw("targets", [], tmp_path)
    assert "git_revision" in json.loads((tmp_path / "targets.json").read_text())["provenance"]
