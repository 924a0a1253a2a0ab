"""How to cite, what changed, under which licence: files in the form that tools read, in step with the package."""

import datetime
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = {"type": "string", "minLength": 1}
PERSON = {
    "type": "object",
    "properties": dict.fromkeys(("family-names", "given-names", "affiliation", "alias", "email", "orcid"), TEXT),
    "required": ["family-names", "given-names"],
    "additionalProperties": False,
}
ENTITY = {"type": "object", "properties": {"name": TEXT}, "required": ["name"], "additionalProperties": False}
AUTHORS = {"type": "array", "minItems": 1, "items": {"anyOf": [PERSON, ENTITY]}}
IDENTIFIER = {
    "type": "object",
    "properties": {"type": {"enum": ["doi", "url", "swh", "other"]}, "value": TEXT, "description": TEXT},
    "required": ["type", "value"],
    "additionalProperties": False,
}
IDENTIFIERS = {"type": "array", "minItems": 1, "items": IDENTIFIER}
REFERENCE = {
    "type": "object",
    "properties": {
        "type": {"enum": ["article", "conference-paper", "software", "thesis", "book", "generic"]},
        "title": TEXT,
        "authors": AUTHORS,
        "year": {"type": "integer", "minimum": 1900, "maximum": datetime.date.today().year},
        "identifiers": IDENTIFIERS,
        "collection-title": TEXT,
        "collection-type": TEXT,
    },
    "required": ["type", "title", "authors"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": TEXT,
        "type": {"enum": ["software", "dataset"]},
        "title": TEXT,
        "abstract": TEXT,
        "authors": AUTHORS,
        "version": TEXT,
        "license": TEXT,
        "keywords": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        "references": {"type": "array", "items": REFERENCE, "minItems": 1},
    },
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
}
"""What this project uses of the Citation File Format 1.2.0, with what that format requires."""


def citation() -> dict[str, object]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_is_in_the_form_of_citation_files() -> None:
    jsonschema.validate(citation(), SCHEMA)


@pytest.mark.parametrize(
    "change", [{"cff-version": "1"}, {"authors": []}, {"authors": [{"name": "a", "x": "b"}]}, {"year": 2026}]
)
def test_the_form_refuses_what_a_citation_file_may_not_have(change: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**citation(), **change}, SCHEMA)


def test_the_citation_is_in_step_with_the_package() -> None:
    found = citation()
    assert (found["version"], found["license"]) == (PROJECT["version"], PROJECT["license"])
    assert found["keywords"] == PROJECT["keywords"]
    assert found["authors"] == [dict(author) for author in PROJECT["authors"]]


def test_what_is_cited_is_in_the_sources_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for reference in citation()["references"]:  # type: ignore[attr-defined]
        assert reference["identifiers"][0]["value"].removeprefix("arXiv:") in readme


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
    dates = [datetime.date.fromisoformat(found[2]) for found in released if found]
    assert dates == sorted(dates, reverse=True)
    kinds = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
