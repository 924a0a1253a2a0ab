"""Commands that look at one thing: their words and tables; what they compute is tested where it is computed."""

import re

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
