"""Where notebooks are opened: JupyterLab on this environment's kernel, Binder on this checkout."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KERNEL = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3", startup_timeout=120)
said = []
code = "import sys, robustdl_lib; print(sys.prefix, robustdl_lib.__file__, sep='|')"
reply = client.execute_interactive(code, timeout=180, output_hook=lambda message: said.append(message["content"]))
client.stop_channels()
manager.shutdown_kernel(now=True)
print(reply["content"]["status"], "".join(content.get("text", "") for content in said).strip(), sep="|")
"""


def recipe() -> list[str]:
    """Return the words by which ``make lab`` starts JupyterLab."""
    made = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True)
    [line] = [line for line in made.stdout.splitlines() if "jupyterlab" in line]
    return shlex.split(line.removeprefix("@"))


def plant(folder: Path) -> None:
    """Write a kernel called python3 that is no Python at all."""
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Another Python", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))


@pytest.mark.slow
def test_the_lab_starts_the_kernel_of_this_environment_whatever_else_is_installed(tmp_path: Path) -> None:
    words = recipe()
    python = words.index(".venv/bin/python")
    assert words[python:] == [".venv/bin/python", "-m", "jupyterlab", "--notebook-dir=."]
    for place in ("path", "data"):
        plant(tmp_path / place)
    env = {**os.environ, "JUPYTER_PATH": str(tmp_path / "path"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    env |= {"JUPYTER_PREFER_ENV_PATH": "0", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    command = [*words[:python], sys.executable, "-c", KERNEL]
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.strip().split("|") == ["ok", sys.prefix, str(ROOT / "robustdl_lib" / "__init__.py")]


def test_binder_installs_what_conda_users_have_and_then_this_checkout() -> None:
    binder = ROOT / ".binder"
    assert {path.name for path in binder.iterdir()} == {"environment.yml", "postBuild"}
    assert yaml.safe_load((binder / "environment.yml").read_text()) == yaml.safe_load(
        (ROOT / "environment.yml").read_text()
    )
    assert os.access(binder / "postBuild", os.X_OK)
    subprocess.run(["bash", "-n", str(binder / "postBuild")], check=True)
    assert re.search(r"pip install .*--editable \.$", (binder / "postBuild").read_text(), re.MULTILINE)
