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
from matplotlib.figure import Figure
from PIL import Image

from robustdl_lib import cli, losses, plots, store, summary
from robustdl_lib.plots import rows as frames
from robustdl_lib.plots import style
from robustdl_lib.registry import FIGURES, METHODS, STUDIES, SpecError

EPOCHS, BINS = 4, 5
SPECS = ("cce", "dm", "boot_soft:eps=0.5")
MEASURED = ("test_acc", "val_acc", "clean_acc", "fit_wrong", "corrected", "p_clean", "p_wrong")
MORE = ("entropy_clean", "entropy_wrong")
MARKS = {"kind", "setting", "panel"}
PREPARED = {"setting", "panel", "sure"}


def one_run(method, noise, seed):
    """Return the rows of a run that never was; its numbers differ by method, seed, epoch and column."""
    rng = np.random.default_rng([*map(ord, method), seed, len(noise)])
    rows = pd.DataFrame({"epoch": range(1, EPOCHS + 1), "progress": np.arange(1, EPOCHS + 1) / EPOCHS})
    rows = rows.assign(run_id=f"{method}-{noise}-{seed}", noise=noise, method=method, seed=seed)
    rows = rows.assign(dataset="digits", model="resnet8", epochs=EPOCHS, trust=0.0)
    rows = rows.assign(**{column: rng.uniform(0.2, 0.9, EPOCHS) for column in (*MEASURED, *MORE)})
    if "boot" in method:
        rows["trust"] = rng.uniform(0.2, 0.8, EPOCHS)
    return rows.assign(fit_wrong=np.nan, corrected=np.nan) if noise == "none" else rows


def run_rows(specs=SPECS, noise="symmetric:0.4", seeds=(0, 1)):
    runs = [one_run(spec, noise, seed) for spec in specs for seed in seeds]
    return pd.concat([*runs, *(one_run("cce", "none", seed) for seed in seeds)], ignore_index=True)


def histogram_rows(specs=SPECS, seeds=(0, 1)):
    index = pd.MultiIndex.from_product(
        [range(1, EPOCHS + 1), ["clean", "wrong"], (np.arange(BINS) + 0.5) / BINS], names=["epoch", "subset", "p"]
    )
    empty = pd.DataFrame(index=index).reset_index()
    counts = np.random.default_rng(0).integers(0, 50, (len(specs), len(seeds), len(empty)))
    runs = [
        empty.assign(count=counts[i, j], run_id=f"{spec}-{seed}", method=spec)
        for i, spec in enumerate(specs)
        for j, seed in enumerate(seeds)
    ]
    clean = empty.assign(count=empty["subset"].eq("clean") * 7, run_id="clean", method="cce")
    return pd.concat([*runs, clean], ignore_index=True)


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


def drawn(figure, gid):
    """Return the data of the only line with this gid in each panel that has one."""
    lines = [line for ax in figure.axes for line in ax.lines if line.get_gid() == gid]
    assert lines, f"{gid} is not drawn"
    return lines


def close(line, x, y):
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), x, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), y, rtol=1e-9)


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
