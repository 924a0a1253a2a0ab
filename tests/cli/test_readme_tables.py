"""Generated tables: between their marks, from committed rows, in step with what is committed."""

from pathlib import Path

import pytest
from helpers.cases import one_sentence

from robustdl_lib.cli import readme_tables
from robustdl_lib.config import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/METHODS.md", "docs/SETTINGS.md"])
def test_a_page_is_what_the_rows_give(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBUSTDL_RESULTS")
    copy = tmp_path / "page.md"
    copy.write_text((ROOT / page).read_text())
    assert readme_tables.write(copy)
    assert copy.read_text() == (ROOT / page).read_text()


def test_only_what_stands_between_marks_is_changed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- headline: begin -->\nold\n<!-- headline: end -->\nafter\n")
    assert readme_tables.write(page) == ["headline"]
    text = page.read_text()
    assert text.startswith("before\n<!-- headline: begin -->\n\n| noise ")
    assert text.endswith("<!-- headline: end -->\nafter\n")
    assert "old" not in text


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing to renew\n")
    with pytest.raises(ConfigError) as refusal:
        readme_tables.write(page)
    one_sentence(refusal.value, "headline")
    assert page.read_text() == "nothing to renew\n"
