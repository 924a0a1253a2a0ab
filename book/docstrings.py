"""Docstrings for Sphinx: plain text with formulas, made safe as reStructuredText and parted into fields."""

import re

import sympy as sp

from robustdl_lib import symbols
from robustdl_lib.registry import TABLES, Entry

KEPT = re.compile(r"(``.+?``|:[\w:]+:`[^`]+`)", re.DOTALL)
SIGNS = re.compile(r"([\\*_|`])")
FIELDS = re.compile(r"(?:^|(?<=[.:] ))(Source|Raises|Returns)\b:? ")


def restructured(text: str) -> list[str]:
    """Return the lines of a docstring as reStructuredText: a line a paragraph, then its source and what it raises."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        said, *fields = FIELDS.split(" ".join(paragraph.split()))
        named = list(zip(fields[::2], fields[1::2], strict=True))
        lines += [escaped(said.strip()), ""] if said.strip() else []
        lines += [f":{name}: {escaped(words.strip())}" for name, words in named]
        lines += [""] if named else []
    return lines


def escaped(text: str) -> str:
    """Return plain text in which no sign has a meaning for reStructuredText; literals and roles are kept."""
    parts = KEPT.split(text)
    parts[::2] = [SIGNS.sub(r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def registered(found: object) -> Entry | None:
    """Return the entry of a registered function, or None."""
    plain = getattr(found, "__wrapped__", found)
    return next((entry for table in TABLES for entry in table.entries.values() if entry.function is plain), None)


def about(entry: Entry) -> list[str]:
    """Return the lines that say how an entry is called in a spec and, of a formula in p_y, its loss and weight."""
    knobs = ",".join(f"{name}={value}" for name, value in entry.defaults().items())
    lines = [f":Registered as: {entry.kind} ``{entry.name}{':' * bool(knobs)}{knobs}``", ""]
    return [*lines, *_derived(entry)] if entry.kind == "method" and entry.facts.formula else lines


def _derived(entry: Entry) -> list[str]:
    weight = sp.latex(symbols.weight(entry.name))
    return [".. math::", "", rf"   w(p_y) = {weight} \qquad (p = p_y)", ""]


def process(app: object, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring's lines in place, for Sphinx's event ``autodoc-process-docstring``."""
    entry = registered(found) if what == "function" else None
    lines[:] = restructured("\n".join(lines)) + (about(entry) if entry else [])


def foreign(app: object, what: str, name: str, found: object, skip: bool, options: object) -> bool | None:
    """Leave out what a class has from another library, for Sphinx's event ``autodoc-skip-member``."""
    return True if not str(getattr(found, "__module__", None) or "robustdl_lib").startswith("robustdl_lib") else None
