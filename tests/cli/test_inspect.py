"""Commands that look at one thing: their output; what they compute is tested in the rooms below."""

import json
import re
from pathlib import Path

import pandas as pd

from robustdl_lib.registry import TABLES


def test_list_names_every_entry_under_its_kind(run) -> None:
    code, out, _ = run("list")
    assert code == 0
    for table in TABLES:
        block = re.search(rf"^{table.plural}\n((?:  .*\n)*)", out, re.MULTILINE)
        assert block
        assert [line.split()[0] for line in block[1].splitlines()] == list(table)


def test_noise_prints_both_tables_with_a_class_a_row(run) -> None:
    code, out, err = run("noise", "asymmetric:0.4", "--seed", "1")
    assert (code, err) == (0, "")
    assert out.startswith("asymmetric:0.4, seed 1: ")
    matrix = out.split("a column a given label\n")[1].splitlines()
    assert matrix[0].split() == ["true", *map(str, range(10))]
    rates = [[float(cell) for cell in line.split()[1:]] for line in matrix[1:]]
    assert len(rates) == 10
    assert all(abs(sum(line) - 100) < 0.6 for line in rates)


def test_the_table_of_methods_has_a_header_and_a_line_each(run) -> None:
    header = run("methods")[1].splitlines()[0].split()
    assert header[:5] == ["method", "role", "psi", "sigma", "off"]


def test_inspect_prints_a_table_and_draws_a_figure(run, places: Path) -> None:
    code, out, err = run("inspect", "gce:q=0.5", "--classes", "3", "--progress", "0.5")
    assert (code, err) == (0, "")
    assert out.startswith("GCE (q = 0.5) (Talk, eq. 1; Zhang and Sabuncu 2018), 3 classes, progress 0.5\n")
    assert re.search(r"emphasis mode psi +0.3333 ", out)
    folder = places / "figures" / "inspect" / "gce-q=0.5"
    assert out.endswith(f"figure: {folder / 'lens.png'}\n")
    assert {path.name for path in folder.iterdir()} == {"lens.png", "lens.svg", "lens.csv", "lens.json"}
    assert json.loads((folder / "lens.json").read_text())["provenance"]["method"] == "gce:q=0.5"


def test_inspect_takes_a_loss_from_a_file(run, places: Path) -> None:
    source = places / "my_loss.py"
    source.write_text("def my_loss(logits, target):\n    return -2 * (target * logits.log_softmax(1)).sum(1)\n")
    code, out, _ = run("inspect", f"{source}:my_loss")
    assert code == 0
    assert out.startswith("my_loss (my_loss.py), 10 classes")
    assert re.search(r"in the family w\(p\)\(p - q\) +yes ", out)
    rows = pd.read_csv(places / "figures" / "inspect" / "my_loss" / "lens.csv")
    assert set(rows["method"]) == {"my_loss", "cce"}
