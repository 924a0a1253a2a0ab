"""Commands on a reader's files, and their refusals if the checkout that they need is missing."""

from pathlib import Path

import pytest

from robustdl_lib import paths

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if the package were installed and used in another folder."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("figures", "--shelf", "reference"), "the committed reference lies in the project's checkout"),
        (("notebook", "notebooks/05_emphasis_density.py", "out.ipynb"), "the course's notebooks lie in the project's"),
        (("build", "notebooks/05_emphasis_density.py"), "the course's notebooks lie in the project's checkout"),
        (("reproduce", "--profile", "smoke"), "the course's notebooks lie in the project's checkout"),
        (("readme",), "the rows of these tables lie in the project's checkout"),
    ],
)
def test_what_needs_the_checkout_says_so_in_one_sentence(
    run, elsewhere: Path, words: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {said}")
    assert str(elsewhere) in err
    assert err.count("\n") == 1


def test_a_notebook_of_ones_own_needs_no_checkout(run, elsewhere: Path) -> None:
    (elsewhere / "mine.py").write_text("# %%\nprint(1)\n")
    code, _, err = run("notebook", "mine.py", "mine.py")
    assert code == 1
    assert "the output is a new .ipynb file" in err


def test_a_page_that_is_not_there_is_refused(run) -> None:
    code, _, err = run("readme", "nowhere.md")
    assert (code, err) == (1, "error: there is no page nowhere.md: name one that has marks, such as README.md\n")


def test_the_explorer_is_written_where_one_says(run, elsewhere: Path) -> None:
    code, out, _ = run("explorer", "page.html")
    assert (code, out) == (0, "page.html\n")
    assert (elsewhere / "page.html").read_text().startswith("<!")
