"""Notebooks from their sources: parameters checked before a kernel starts, execution, and the committed form.

A source is a jupytext percent script with one cell tagged ``parameters`` that holds a literal a line,
``name: type = value  # help``. A help that ends in ``in [a, b]`` states a range, and the names that the sweeps
know (profile, noise, dataset, methods, seeds, epochs, jobs, shelf) are checked as the sweeps check them.
"""

import ast
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from papermill.models import Parameter

from robustdl_lib import files, paths
from robustdl_lib.config import ConfigError
from robustdl_lib.parallel import spread
from robustdl_lib.registry import METHODS
from robustdl_lib.runs.sweeps import Setting

KERNEL = "python3"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
RANGE = re.compile(r"in \[\s*(\S+?)\s*,\s*(\S+?)\s*\]\s*$")


class NotebookFailed(RuntimeError):
    """A notebook that stopped; the message names the cell's error and where the partial copy lies."""


def read(source: Path) -> nbformat.NotebookNode:
    """Return a source (.py or .ipynb) as a notebook without outputs; raises ConfigError where there is none."""
    if not source.is_file():
        known = ", ".join(path.stem for path in sorted(source.parent.glob("[0-9]*.py"))) or "none"
        raise ConfigError(f"there is no notebook {source}; beside it there are: {known}")
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": KERNEL}
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
    return notebook


def parameters(notebook: nbformat.NotebookNode) -> dict[str, Parameter]:
    """Return the parameters' papermill descriptions: name, type, default and help of each."""
    inspected = papermill.inspect_notebook(notebook)
    return {name: Parameter(**found) for name, found in inspected.items()}


def check(notebook: nbformat.NotebookNode, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the given texts as values of the parameters' types.

    Raises ConfigError for a parameter that the notebook does not have (with the list of those it has), a value
    of the wrong type or outside its range, and for what the sweeps refuse.
    """
    known = parameters(notebook)
    values = {name: _typed(name, text, known) for name, text in given.items()}
    names = [name for name in ("noise", "dataset", "methods", "seeds", "epochs") if values.get(name)]
    setting = {name: values[name] for name in [*names, *(["profile"] if "profile" in values else [])]}
    if "profile" in known:
        Setting(**{"profile": ast.literal_eval(known["profile"].default), **setting})
    for method in values.get("methods", []):
        METHODS.parse(method)
    if "shelf" in values:
        paths.shelf(values["shelf"], "quick")
    return values


def execute(source: Path, output: Path, given: Mapping[str, str], settings: Mapping[str, str] | None = None) -> None:
    """Run ``source`` with the parameters ``given`` and write the executed notebook to ``output``.

    ``settings`` are used where the notebook has a parameter of that name. The output appears when whole. Raises
    ConfigError before the kernel starts for a bad parameter; :class:`NotebookFailed` when a cell fails or the
    kernel dies, leaving no output but the partial notebook beside it as ``NAME.failed.ipynb``.
    """
    notebook = read(source)
    known = parameters(notebook)
    values = check(notebook, {**{name: text for name, text in (settings or {}).items() if name in known}, **given})
    if output.suffix != ".ipynb" or output.resolve() == source.resolve():
        raise ConfigError(f"the output is a new .ipynb file, found {output}")
    files.require_writable(output.parent)
    output.unlink(missing_ok=True)
    part, failed = output.with_suffix(".part.ipynb"), output.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    nbformat.write(notebook, part)
    try:
        _run(part, values)
    except Exception as error:
        part.replace(failed)
        raise NotebookFailed(f"{source.name} stopped: {_why(error)}; the partial notebook is {failed}") from None
    part.replace(output)


def execute_course(
    sources: Sequence[Path], into: Path, settings: Mapping[str, str], inputs: Sequence[Path]
) -> list[str]:
    """Execute those of ``sources`` whose copy in ``into`` is older than themselves or ``inputs``; return the failures.

    Two at a time, in two processes that start once. ``settings`` are used where a notebook has a parameter of that
    name. A notebook keeps its place below the folder ``notebooks``. One that fails keeps no other from its turn.
    """
    newest = max((newest_in(path) for path in inputs), default=0.0)
    calls = [(source, into / source.relative_to(source_root(source)).with_suffix(".ipynb")) for source in sources]
    old = [(source, copy, dict(settings)) for source, copy in calls if _is_old(copy, max(newest, newest_in(source)))]
    outcomes = spread(_attempt, old, jobs=2, threads=1, ordered=False) if old else iter(())
    return [failure for failure in outcomes if failure]


def source_root(source: Path) -> Path:
    """Return the folder that the place of a notebook counts from: the parent of ``solutions``, or its own."""
    return source.parent.parent if source.parent.name == "solutions" else source.parent


def newest_in(path: Path) -> float:
    """Return when a file, or the last file of a folder, was changed; 0 if there is none."""
    files_in = path.rglob("*") if path.is_dir() else [path]
    return max(
        (file.stat().st_mtime for file in files_in if file.is_file() and "__pycache__" not in file.parts), default=0
    )


def _is_old(copy: Path, newest: float) -> bool:
    return not copy.is_file() or copy.stat().st_mtime < newest


def _attempt(source: Path, copy: Path, settings: dict[str, str]) -> str:
    """Execute a notebook; return why it failed, or an empty text."""
    try:
        execute(source, copy, {}, settings)
    except (NotebookFailed, ConfigError, OSError) as error:
        return str(error)
    return ""


def build(source: Path) -> Path:
    """Execute ``source`` with its defaults and write the committed form beside it: the same bytes every time."""
    output = source.with_suffix(".ipynb")
    execute(source, output, {})
    notebook = nbformat.read(output, as_version=4)
    part = output.with_suffix(".part.ipynb")
    nbformat.write(normalise(notebook), part)
    part.replace(output)
    return output


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Strip what differs between two equal executions: times, papermill's records, widget ids, pieces of prints."""
    kept = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    notebook.metadata = nbformat.NotebookNode(kept)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)  # its id is random; the picture beside it stays
        if "outputs" in cell:
            cell["outputs"] = _joined(cell["outputs"])
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the outputs with what was printed in several pieces, as a busy machine does, in one."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output["name"] == before.get("name"):
            before["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def _run(path: Path, values: Mapping[str, Any]) -> None:
    """Execute a notebook in place, from the project's root, without a progress bar."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    settings: dict[str, Any] = {"kernel_name": KERNEL, "progress_bar": False, "cwd": str(paths.ROOT)}
    settings["extra_arguments"] = ["--IPKernelApp.log_level=50"]  # no word on the loopback, or on its end
    papermill.execute_notebook(path, path, parameters=dict(values), **settings)


def _why(error: Exception) -> str:
    if isinstance(error, PapermillExecutionError):
        return f"cell {error.exec_count}: {error.ename}: {str(error.evalue).splitlines()[0] if error.evalue else ''}"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _typed(name: str, text: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        listing = ", ".join(f"{item.name} ({item.inferred_type_name})" for item in known.values()) or "none"
        raise ConfigError(f"the notebook has no parameter {name!r}; it has: {listing}")
    kind, help_text = known[name].inferred_type_name, known[name].help
    try:
        value = _READERS[kind](text)
    except (KeyError, ValueError, SyntaxError):
        raise ConfigError(f"{name} is of type {kind}, found {text!r}") from None
    _check_range(name, value, help_text)
    return value


def _check_range(name: str, value: Any, help_text: str) -> None:
    if stated := RANGE.search(help_text or ""):
        low, high = (float(bound) for bound in stated.groups())
        if value == []:
            raise ConfigError(f"{name} needs at least one number in [{low:g}, {high:g}]")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
                raise ConfigError(f"{name} lies in [{low:g}, {high:g}], found {number!r}")


def _items(text: str) -> list[Any]:
    """Read a list written in words ("cce gce:q=0.7", "0 1 2") or as a Python literal."""
    if text.strip().startswith("["):
        value = ast.literal_eval(text.strip())
        return list(value)
    return [_number(word) for word in text.split()]


def _number(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _truth(text: str) -> bool:
    return {"true": True, "false": False, "1": True, "0": False}[text.strip().lower()]


_READERS: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": _truth, "list": _items}
