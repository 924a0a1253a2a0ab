"""What the README shows is run: its code, its commands' names, its links."""

import re
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

from robustdl_lib import cli, gradients, losses, sweeps, symbols
from robustdl_lib.cli import notebooks
from robustdl_lib.registry import METHODS, NOISES
from robustdl_lib.theory import method_card

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def block(word: str) -> str:
    return next(text for text in PYTHON if word in text)


def test_the_loss_in_the_readme_is_one_function_that_everything_finds(tmp_path):
    source = block("def focal")
    assert source.count("def ") == 1
    exec(source, vars(losses))
    assert gradients.emphasis_mode("focal:gamma=2") == pytest.approx(0.0, abs=0.4)
    p = np.linspace(0.01, 0.99, 99)
    by_symbols = sp.lambdify(symbols.p, symbols.weight("focal:gamma=2", values=True))(p)
    np.testing.assert_allclose(gradients.weight_curve("focal:gamma=2", p)["weight"], by_symbols, rtol=1e-9)
    assert "focal" in METHODS
    rows = sweeps.run("figures", profile="smoke", methods=["focal:gamma=3"], seeds=[0], jobs=1, quiet=True)
    assert "focal:gamma=3" in set(rows["method"])


@pytest.mark.slow
def test_the_loss_of_a_script_trains_in_other_processes(capsys):
    names: dict[str, object] = {}
    exec(block("def half").replace("seeds=[0]", "seeds=[0], jobs=2, quiet=True"), names)
    assert set(names["rows"]["method"]) == {"cce", "half"}  # type: ignore[index]
    assert capsys.readouterr().out.startswith("0.0 ")


def test_the_loss_of_ones_own_is_put_under_the_lens(tmp_path):
    (tmp_path / "my_loss.py").write_text(block("# my_loss.py"))
    spec = method_card.method(f"{tmp_path / 'my_loss.py'}:my_loss")
    np.testing.assert_allclose(
        gradients.weight_curve(spec)["weight"], gradients.weight_curve("mse")["weight"], atol=1e-12
    )


def test_every_registered_noise_is_in_the_table_of_noises():
    assert set(re.findall(r"^\| `(\w+)[:`]", README, re.MULTILINE)) == set(NOISES)


def test_every_notebook_is_in_the_table_of_claims():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.py")} <= set(re.findall(r"\[(\d\d_\w+)\]", README))


def test_the_library_in_ten_lines_runs():
    names: dict[str, object] = {}
    exec(block("objective.build"), names)
    assert torch.isfinite(names["logits"].grad).all()  # type: ignore[attr-defined]


def test_the_loop_of_ones_own_runs_and_remembers():
    names: dict[str, object] = {}
    exec(block("DataLoader("), names)
    assert names["loss"].begun  # type: ignore[attr-defined]
    assert names["step"] == 5 * 8 - 1
    assert names["loss"].memory.state()["targets"].any()  # type: ignore[attr-defined]


def test_the_loop_of_ones_own_takes_every_method():
    """It learns the little that there is to learn, the brightness of a class: p_y is 0.1 before the first step."""
    source = block("DataLoader(").replace("0, 10, (512,)", "0, 2, (512,)")
    source = source.replace("\nmodel", "\nimages += labels[:, None, None, None] * 3.0\nmodel", 1)
    learnt: dict[str, float] = {}
    for method in (name for name in METHODS if name not in ("kd", "pseudo")):
        names: dict[str, object] = {}
        torch.manual_seed(0)
        exec(source.replace('"elr", num', f'"{method}", num'), names)
        probs = names["model"](names["images"]).softmax(1)  # type: ignore[operator]
        learnt[method] = probs.gather(1, names["labels"][:, None]).mean().item()  # type: ignore[index]
    least = dict.fromkeys(learnt, 0.3) | {"mae": 0.15, "tgce": 0.0}  # tgce ignores p_y below k: here all examples
    assert {method: p_y for method, p_y in learnt.items() if not p_y > least[method]} == {}


def test_a_teacher_that_nobody_trains_is_asked_for_in_one_sentence():
    with pytest.raises(RuntimeError, match="give begin a learn"):
        exec(block("DataLoader(").replace('"elr", num', '"kd", num'), {})


def test_every_command_names_something_that_there_is():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in (line.split() for line in SHELL if line):
        if words[0] == "make":
            assert words[1] in targets
        else:
            assert words[:3] == [".venv/bin/python", "-m", "robustdl_lib"]
            assert words[3] in cli.app.commands


def test_the_notebook_command_takes_its_parameter():
    [words] = [re.findall(r'"[^"]*"|\S+', line) for line in SHELL if " notebook " in line]
    values = notebooks.check(notebooks.read(ROOT / words[4]), {words[7]: words[8].strip('"')})
    assert values


def test_settings_in_the_readme_are_accepted():
    for line in SHELL:
        if line.startswith("make figures "):
            given = dict(re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", line))
            plain = {name.lower(): value.strip('"') for name, value in given.items()}
            methods, seeds = plain.get("methods"), plain.get("seeds")
            if methods and "focal" in methods:
                methods = methods.replace("focal:gamma=3", "cce")
            sweeps.Setting(
                profile=plain.get("profile", "quick"),
                noise=plain.get("noise"),
                methods=methods.split() if methods else None,
                seeds=[int(seed) for seed in seeds.split()] if seeds else None,
            )


def test_links_and_paths_of_every_page_lead_somewhere():
    dead = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]:
        text = page.read_text()
        links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
        named = re.findall(r"`((?:robustdl_lib|tests|docs|notebooks|benchmarks|book)/[\w./-]*)`", text)
        placeholders = ("NAME", "NN_name", "TOPIC", "ROOM")
        dead += [f"{page.relative_to(ROOT)}: {link}" for link in links if link and not (page.parent / link).exists()]
        dead += [
            f"{page.relative_to(ROOT)}: {path}"
            for path in named
            if not (ROOT / path).exists() and not any(word in path for word in placeholders)
        ]
    assert dead == []
