"""One set of packages in three files: ranges for people, a lock with hashes for machines, no address of an index."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
PIN = re.compile(r"^([\w.\[\]-]+)==([^\s;\\]+)\s*(;[^\\]*)?\\?$")
HASH = re.compile(r"^\s+--hash=sha256:[0-9a-f]{64}(\s*\\)?$")
HOSTS = r"pypi\.org|pythonhosted\.org|anaconda\.(org|com)|prefix\.dev|download\.pytorch\.org|npmjs\.org"
INDEX = re.compile(
    rf"https?://[\w.:@-]*({HOSTS})\b|\b({HOSTS})/\w|https?://\S+/simple\b|(--|^\s*)(extra-)?index-url[ =]\S",
    re.MULTILINE,
)


def declared() -> dict[str, SpecifierSet]:
    """Return the ranges of pyproject.toml, extras included."""
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    parsed = [Requirement(text) for text in texts]
    return {canonicalize_name(item.name): item.specifier for item in parsed}


def conda() -> dict[str, SpecifierSet]:
    """Return the ranges of environment.yml, its pip section included; python and pip themselves left out."""
    items = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [item for item in items if isinstance(item, str)]
    pip = [text for item in items if isinstance(item, dict) for text in item["pip"] if not text.startswith("-")]
    parsed = [Requirement(text) for text in (*plain, *pip)]
    names = {CONDA_NAMES.get(item.name, item.name): item.specifier for item in parsed}
    return {canonicalize_name(name): spec for name, spec in names.items() if name not in ("python", "pip")}


def pins(name: str) -> dict[str, list[str]]:
    """Return the versions of each package that a lock pins, one for each marker."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if match := PIN.match(line):
            found.setdefault(canonicalize_name(match[1].partition("[")[0]), []).append(match[2])
    return found


def least(specifiers: SpecifierSet) -> Version:
    """Return the lowest version that a range names."""
    return min(Version(item.version) for item in specifiers if item.operator in (">=", "==", "~="))


def committed() -> list[Path]:
    """Return the files that git has or would take in."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_conda_users_get_the_same_packages_in_versions_that_the_project_accepts() -> None:
    wanted, offered, pinned = declared(), conda(), pins("requirements.lock")
    assert set(offered) == set(wanted)
    assert [name for name in wanted if least(offered[name]) not in wanted[name]] == []
    assert [name for name in wanted if not all(version in offered[name] for version in pinned[name])] == []


def test_conda_has_a_python_that_the_project_accepts() -> None:
    items = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(Requirement(item) for item in items if isinstance(item, str) and item.startswith("python"))
    assert least(python.specifier) in SpecifierSet(PROJECT["requires-python"])


def test_ranges_are_as_wide_as_promised() -> None:
    assert str(declared()["torch"]) == ">=2.11"
    assert PROJECT["requires-python"] == ">=3.11"
    assert all({item.operator for item in spec} == {">="} for spec in declared().values())


@pytest.mark.parametrize("lock", ["requirements.lock", "bootstrap.lock"])
def test_a_lock_has_a_hash_for_every_pin_and_nothing_else(lock: str) -> None:
    blocks: list[int] = []
    for line in (ROOT / lock).read_text().splitlines():
        if PIN.match(line):
            blocks.append(0)
        else:
            assert HASH.match(line), f"neither a pin nor a hash: {line!r}"
            blocks[-1] += 1
    assert blocks
    assert min(blocks) >= 1


def test_the_lock_pins_every_package_inside_its_range() -> None:
    pinned = pins("requirements.lock")
    assert set(declared()) <= set(pinned)
    assert [name for name, wanted in declared().items() if not all(map(wanted.contains, pinned[name]))] == []


def test_what_the_tests_import_is_declared_or_comes_with_what_is() -> None:
    assert {"pyyaml", "pytest", "hypothesis"} <= set(declared())
    assert "packaging" in pins("requirements.lock")


def test_an_index_address_is_recognised() -> None:
    assert INDEX.search("--index" + "-url https://example.org/root")
    assert INDEX.search("https://files.python" + "hosted.org/x")
    assert INDEX.search("http://10.0.0.1:80/" + "simple/")


def test_no_file_names_the_address_of_a_package_index() -> None:
    named = []
    for path in committed():
        content = path.read_bytes()
        if b"\0" not in content[:8192] and (found := INDEX.search(content.decode("utf-8", "replace"))):
            named.append(f"{path.relative_to(ROOT)}: {found[0]}")
    assert named == []
