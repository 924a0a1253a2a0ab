"""CONTRIBUTING.md: each section fits a screen, and its code is entered, used and held against what it says."""

import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch
from matplotlib.figure import Figure

from robustdl_lib import RunConfig, cli, data, gradients, noise, objective, paths, store, symbols
from robustdl_lib.cli import figures, notebooks
from robustdl_lib.registry import FIGURES, TABLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SECTIONS = dict(part.split("\n", 1) for part in TEXT.split("\n## ")[1:])
SCREEN = 48
KINDS = ("loss", "target", "weighting", "noise", "data set", "figure", "notebook")


def code(kind: str) -> str:
    [block] = re.findall(r"```python\n(.*?)```", SECTIONS[f"Add a {kind}"], re.DOTALL)
    return block


def enter(kind: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code(kind), names)
    return names


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.randn(20, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return logits.requires_grad_(), torch.arange(20) % 10


def weights_agree(spec: str) -> None:
    """Hold the weight that the formula gives against the one that autograd finds."""
    p = np.linspace(0.01, 0.99, 99)
    by_symbols = sp.lambdify(symbols.p, symbols.weight(spec, values=True))(p)
    np.testing.assert_allclose(gradients.weight_curve(spec, p)["weight"], by_symbols, rtol=1e-7)


def test_there_is_a_section_for_each_thing_and_it_fits_a_screen() -> None:
    assert [f"Add a {kind}" for kind in KINDS] == list(SECTIONS)
    assert max(len(text.splitlines()) for text in SECTIONS.values()) <= SCREEN
    assert max(len(line) for line in TEXT.splitlines()) <= 125


def test_a_loss() -> None:
    enter("loss")
    weights_agree("poly1:eps=2")


def test_a_target_that_changes_once_its_time_has_come() -> None:
    late = enter("target")["late_soft"]
    logits, labels = batch()
    hot = torch.nn.functional.one_hot(labels, 10).double()
    assert torch.equal(late(hot, logits, progress=0.4), hot)
    torch.testing.assert_close(late(hot, logits, progress=0.6), (hot + logits.softmax(1)) / 2)
    objective.build("late_soft:start=0.2")(logits, labels, progress=0.5).backward()
    assert logits.grad.abs().sum() > 0


def test_a_weighting() -> None:
    enter("weighting")
    weights_agree("hill")
    assert gradients.emphasis_mode("hill") == pytest.approx(0.5)


def test_a_noise() -> None:
    enter("noise")
    drawn = noise.corrupt(torch.arange(2000) % 10, "to_zero:0.3", num_classes=10, seed=0)
    assert set(drawn.labels[drawn.mislabelled].tolist()) == {0}
    assert drawn.rate == pytest.approx(0.27, abs=0.03)


def test_a_data_set() -> None:
    enter("data set")
    loaded = data.load(RunConfig(dataset="stripes", noise="symmetric:0.2"))
    assert (len(loaded.test.labels), loaded.classes) == (100, ("standing", "lying"))


def test_a_figure(tmp_path: Path) -> None:
    enter("figure")
    runs = store.load_runs(shelf="reference", profile="quick", noise="symmetric:0.4", method=["cce", "gce"])
    drawn = FIGURES["entropy_by_epoch"](runs)
    assert isinstance(drawn, Figure)
    assert [line.get_label() for line in drawn.axes[0].lines] == list(pd.unique(runs["method"]))
    kept = store.all_runs(paths.shelf("reference", "quick"))[:2]
    figures.draw("entropy_by_epoch", kept, tmp_path)
    assert {path.suffix for path in tmp_path.glob("entropy_by_epoch.*")} == {".png", ".svg", ".csv", ".json"}


@pytest.mark.slow
def test_a_notebook(tmp_path: Path) -> None:
    source = tmp_path / "99_name.py"
    source.write_text(code("notebook"))
    assert list(notebooks.parameters(notebooks.read(source))) == ["method"]
    built = nbformat.read(notebooks.build(source), as_version=4)
    assert "emphasis mode 0.4118" in "".join(out.text for cell in built.cells for out in cell.get("outputs", []))
    headings = [line for cell in jupytext.read(source).cells for line in cell.source.splitlines() if line[:1] == "#"]
    assert headings[0] == "# A title"
    assert {"## Checks", "## Summary", "## Exercises"} <= set(headings)


def test_every_command_that_it_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) <= targets
    assert set(re.findall(r"`robustdl ([a-z]+)", TEXT)) <= set(cli.app.commands)


def test_the_examples_are_no_part_of_the_library() -> None:
    names = {name for table in TABLES for name in table}
    assert not names & {"poly1", "late_soft", "hill", "to_zero", "stripes", "entropy_by_epoch"}
