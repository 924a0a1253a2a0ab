"""Every command of the library in the README is run, with less to train, and does what it says."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robustdl_lib.data import cifar
from robustdl_lib.data.noise import cifar_n

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BASH = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).splitlines()
COMMANDS = [line.split("  #")[0].strip() for line in BASH if line.strip()]
LIBRARY = [line.removeprefix(".venv/bin/python -m robustdl_lib ") for line in COMMANDS if "robustdl_lib" in line]
LESS = {
    "train": ("--epochs 1", "--model resnet8"),
    "audit": ("--examples 60", "--epochs 1", "--model resnet8", "--folds 2"),
    "sweep": ("--profile smoke", "--methods cce", "--seeds 0"),
}
"""What makes a command short: the last of two options counts."""
SAYS = {
    "report": r"Red lines: (none|2)\.\nreport: \S+report\.html$",
    "inspect": r"figure: \S+lens\.png$",
    "methods": r"(?s)cce.*proselflc",
    "download": r"^cifar10: cifar10\ncifar100: cifar100\ncifar-n: the human labels$",
    "train": r"run [0-9a-f]{16}, \d+\.\d% of its labels wrong: \S+$",
    "audit": r"(?s)suspects\.csv|audit\.html",
    "list": r"(?s)proselflc.*symmetric.*resnet20",
    "noise": r"of \d+ labels wrong",
    "status": r"figures +42|figures +36",
    "notebook": r"my_density\.ipynb$",
    "sweep": r"CCE",
}
"""What each says at its end, or in it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with images and a loss; downloads are named and not made."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "path/to/images" / name).mkdir(parents=True)
        for index in range(40):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "path/to/images" / name / f"{index}.png")
    [loss] = re.findall(r"```python\n(# my_loss.py\n.*?)```", README, re.DOTALL)
    (tmp_path / "my_loss.py").write_text(loss)
    monkeypatch.setattr(cifar, "download", lambda name: name)
    monkeypatch.setattr(cifar_n, "download", lambda: "the human labels")
    monkeypatch.setenv("ROBUSTDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shortened(line: str, address: str = "") -> list[str]:
    """Return the words of a command with less to train, real paths, and digits where CIFAR would be needed."""
    line = line.replace("notebooks/", f"{ROOT / 'notebooks'}/").replace("tcp://host:8786", address)
    if line.startswith("train"):
        line = line.replace("cifar10", "digits").replace("human:worst", "symmetric:0.2")
    words = shlex.split(line)
    return [*words, *(word for option in LESS.get(words[0], ()) for word in option.split())]


@pytest.mark.parametrize("line", [line for line in LIBRARY if "dask" not in line])
def test_a_command_of_the_library_does_what_it_says(line: str, folder: Path, run: Any) -> None:
    code, out, err = run(*shortened(line))
    red = int("--strict" in line and "Red lines: none." not in out)
    assert (code, [text for text in err.splitlines() if not text.startswith("warning: ")]) == (red, [])
    assert re.search(SAYS[line.split()[0]], out.strip()), out[-500:]


@pytest.mark.parametrize("line", [line for line in LIBRARY if "dask" in line])
def test_a_sweep_on_a_cluster_does_what_it_says(line: str, folder: Path, run: Any, fleet: Any) -> None:
    code, out, err = run(*shortened(line, fleet.address), "--quiet")
    assert code == 0, err
    assert list((folder / "results" / "runs" / "smoke").glob("*/history.csv"))
    assert out == ""


def test_every_kind_of_command_is_looked_at() -> None:
    assert {line.split()[0] for line in LIBRARY} <= set(SAYS)
    assert [line for line in COMMANDS if not line.startswith((".venv/bin/python -m robustdl_lib ", "make "))] == []
