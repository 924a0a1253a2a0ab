"""Tables as text: what a pipe gets and what a page gets."""

import pandas as pd
import pytest

from robustdl_lib.report import tables

FRAME = pd.DataFrame({"method": ["cce", "dm"], "last": [76.3, None], "n": [3, 12]})


def test_columns_of_numbers_stand_to_the_right_and_no_line_ends_in_a_space() -> None:
    lines = tables.plain(tables.as_text(FRAME)).splitlines()
    assert [line.split() for line in lines] == [["method", "last", "n"], ["cce", "76.3", "3"], ["dm", "-", "12"]]
    assert len({len(line) for line in lines}) == 1
    assert all(line == line.rstrip() for line in lines)
    assert len(tables.plain(tables.as_text(FRAME), header=False).splitlines()) == 2


def test_markdown_puts_numbers_to_the_right() -> None:
    head, marks, *rows = tables.markdown(tables.as_text(FRAME)).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["method", "last", "n"]
    assert [mark.strip("| ")[-1] for mark in marks.strip("|").split("|")] == ["-", ":", ":"]
    assert len(rows) == 2


def test_fractions_are_shown_with_one_decimal() -> None:
    assert tables.tenths(pd.DataFrame({"a": [0.26, "x"]}))["a"].tolist() == ["0.3", "x"]


@pytest.mark.parametrize(
    ("cells", "number"), [(["1", "-2.5", "-"], True), (["1e-6", "40%"], True), (["1", "a"], False)]
)
def test_a_column_is_one_of_numbers_where_each_cell_is(cells: list[str], number: bool) -> None:
    assert tables.is_number(cells) is number
