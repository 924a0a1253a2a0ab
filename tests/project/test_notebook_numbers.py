"""The numbers that the committed notebooks show come out again when their sources run, in this process.

``make test-slow`` compares every output through a kernel each (nbval); here a digit that changed is found in minutes.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "solutions").glob("*.ipynb")])
UNSTABLE = re.compile(r"0x[0-9a-f]{6,}|<[^>]*>|^Out\[[0-9]+\]:", re.MULTILINE)
"""Addresses, representations of objects, and the prompt."""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """An interpreter with fresh names, in the folder and with the committed rows that a kernel would have."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.delenv("ROBUSTDL_RESULTS")
    monkeypatch.delenv("ROBUSTDL_FIGURES")
    InteractiveShell.clear_instance()
    threads = torch.get_num_threads()
    shell = InteractiveShell.instance(colors="nocolor")
    shell.enable_gui = lambda *_, **__: None
    yield shell
    torch.set_num_threads(threads)
    InteractiveShell.clear_instance()


def numbers(text: str) -> list[str]:
    """Return what a reader sees of a text: its words and numbers, whatever the width of the columns."""
    return UNSTABLE.sub("", text).replace("...", " ").split()


def committed(cell: Any) -> str:
    """Return what a committed cell prints and shows as text, except representations of pictures."""
    streams = [output.text for output in cell.outputs if output.output_type == "stream"]
    shown = [output.data.get("text/plain", "") for output in cell.outputs if "data" in output]
    return "\n".join([*streams, *shown])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_printed_numbers_come_out_again(path: Path, shell: InteractiveShell) -> None:
    import pandas as pd

    with pd.option_context("display.width", 80, "display.max_columns", 20):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            with capture_output() as captured:
                outcome = shell.run_cell(cell.source)
            outcome.raise_error()
            shown = [str(output.data.get("text/plain", "")) for output in captured.outputs]
            if "nbval-ignore-output" in cell.metadata.get("tags", []):
                continue
            assert numbers("\n".join([captured.stdout, *shown])) == numbers(committed(cell)), cell.source


def test_a_changed_digit_would_be_found() -> None:
    assert numbers("last 76.3  2.0") != numbers("last 76.4  2.0")
    assert numbers("a   1.0\n") == numbers("a 1.0")
