"""How to cite, what changed, under which licence: files in the form that tools read, in step with the package."""

import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
FIELDS = {
    "file": {"cff-version", "message", "title", "authors"},
    "file, optional": {"type", "abstract", "version", "license", "keywords", "references"},
    "reference": {"type", "title", "authors"},
    "reference, optional": {"year", "identifiers", "collection-title", "collection-type"},
    "identifier": {"type", "value"},
    "identifier, optional": {"description"},
}
"""The fields of the Citation File Format 1.2.0 that this project uses, and of those the ones that it requires."""


def misformed(citation: dict[str, Any]) -> list[str]:
    """Return the parts of a citation file in which fields are missing, unknown or empty."""
    references = citation.get("references", [])
    parts = [("file", citation), *(("reference", reference) for reference in references)]
    parts += [("identifier", item) for reference in references for item in reference.get("identifiers", [])]
    known = {kind: FIELDS[kind] | FIELDS[f"{kind}, optional"] for kind, _ in parts}
    wrong = [kind for kind, part in parts if not FIELDS[kind] <= set(part) <= known[kind]]
    wrong += [f"{kind}: empty" for kind, part in parts if not all(part.values())]
    people = [author for kind, part in parts if kind != "identifier" for author in part.get("authors", [])]
    return wrong + [f"author {who}" for who in people if set(who) not in ({"name"}, {"family-names", "given-names"})]


def test_the_citation_is_in_the_form_of_citation_files() -> None:
    assert misformed(CITATION) == []
    assert (CITATION["cff-version"], CITATION["type"]) == ("1.2.0", "software")
    years = [reference["year"] for reference in CITATION["references"] if "year" in reference]
    assert all(1900 <= year <= datetime.date.today().year for year in years)


@pytest.mark.parametrize("change", [{"message": ""}, {"authors": []}, {"authors": [{"name": "a", "x": "b"}]}, {"y": 1}])
def test_the_form_refuses_what_a_citation_file_may_not_have(change: dict[str, object]) -> None:
    assert misformed({**CITATION, **change})


def test_the_citation_is_in_step_with_the_package() -> None:
    assert (CITATION["version"], CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    assert CITATION["keywords"] == PROJECT["keywords"]
    assert CITATION["authors"] == [dict(author) for author in PROJECT["authors"]]


def test_what_is_cited_is_in_the_projects_sources() -> None:
    sources = (ROOT / "docs" / "sources.bib").read_text() + (ROOT / "README.md").read_text()
    cited = [reference["identifiers"][0]["value"].removeprefix("arXiv:") for reference in CITATION["references"]]
    assert [number for number in cited if number not in sources] == []


def test_the_licence_is_the_one_that_is_named() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert PROJECT["authors"][0]["name"] in (ROOT / "LICENSE").read_text()


def test_the_changelog_keeps_its_form() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert lines[0] == "# Changelog"
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## [Unreleased]"
    released = [re.fullmatch(r"## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", line) for line in headings[1:]]
    assert all(released)
    dates = [datetime.date.fromisoformat(heading[2]) for heading in released if heading]
    assert dates == sorted(dates, reverse=True)
    kinds = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
