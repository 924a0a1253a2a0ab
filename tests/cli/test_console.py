"""What commands print: aligned lines in a pipe, rich's tables on a terminal, colours only where they are wanted."""

import contextlib
import io
import math
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from robustdl_lib.cli import console

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])[0-9;]*m")
ROWS = pd.DataFrame({"name": ["cce", "gce [q]"], "last": [76.3, math.nan], "of": ["-", None], "n": [3, 12]})


class Screen(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True

    def show(self, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call something whose standard output and error are this terminal."""
        with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self):
            return call(*args, **options)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal of 60 columns."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Screen()


def test_a_pipe_gets_aligned_lines_with_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(ROWS)
    assert (
        capsys.readouterr().out
        == "name       last    of    n\ncce        76.3     -    3\ngce [q]       -     -   12\n"
    )


def test_a_table_may_go_without_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(ROWS[["name"]], header=False)
    assert capsys.readouterr().out == "cce\ngce [q]\n"


def test_a_terminal_gets_the_same_cells_drawn(screen: Screen) -> None:
    screen.show(console.table, ROWS)
    text = ESCAPE.sub("", screen.getvalue())
    assert COLOUR.search(screen.getvalue())
    assert "─" in text
    assert [line.split() for line in text.splitlines() if "gce" in line] == [["gce", "[q]", "-", "-", "12"]]


def test_a_narrow_terminal_folds_text_and_keeps_numbers_whole(screen: Screen) -> None:
    screen.show(console.table, pd.DataFrame({"source": ["word " * 40], "last": [98.25]}))
    lines = ESCAPE.sub("", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 60
    assert sum(line.count("word") for line in lines) == 40
    assert any("98.25" in line for line in lines)


@pytest.mark.parametrize("value", ["1", "anything"])
def test_no_colour_where_none_is_wanted(screen: Screen, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    screen.show(console.table, ROWS)
    screen.show(console.error, "refused")
    screen.show(console.warning, "odd")
    assert "refused" in screen.getvalue()
    assert not COLOUR.search(screen.getvalue())


def test_an_empty_no_color_says_nothing(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    screen.show(console.error, "refused")
    assert COLOUR.search(screen.getvalue())


def test_a_terminal_that_cannot_move_its_cursor_is_treated_as_a_pipe(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen.show(console.table, ROWS)
    screen.show(console.error, "refused")
    assert not ESCAPE.search(screen.getvalue())


def test_errors_and_warnings_go_to_standard_error_with_no_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.error("no")
    console.warning("odd")
    assert capsys.readouterr() == ("", "error: no\nwarning: odd\n")


def tracked(*args: Any, **options: Any) -> list[int]:
    return list(console.track(*args, **options))


def test_a_bar_is_shown_on_a_terminal_alone(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    assert screen.show(tracked, [1, 2, 3], "drawing") == [1, 2, 3]
    assert "drawing" in screen.getvalue()
    assert tracked([1, 2], "drawing") == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_quiet_is_quiet_on_a_terminal_too(screen: Screen) -> None:
    assert screen.show(tracked, [1], "drawing", quiet=True) == [1]
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (7200, "2.0 h"), (math.nan, "-")]
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, said: str) -> None:
    assert console.spoken(seconds) == said
