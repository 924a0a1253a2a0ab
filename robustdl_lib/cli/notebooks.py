"""Notebooks: parameters are checked before a kernel starts, then the notebook is executed, or built and committed.

A source is a jupytext percent script with one cell tagged ``parameters`` that holds a literal on each line,
``name: type = value  # help``. A help that ends in ``in [a, b]`` states a range. Parameters of a sweep's setting
(profile, noise, dataset, methods, seeds, epochs, jobs, shelf) are checked as the sweeps check them.
"""

import ast
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
TOGETHER = 2
"""Notebooks that are executed at a time: most of a short notebook is the start of its kernel, on one core."""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
RANGE = re.compile(r"in \[\s*(\S+?)\s*,\s*(\S+?)\s*\]\s*$")
Task = tuple[Path, Path, Mapping[str, str]]
"""A source, its output, and settings for the parameters that it has."""


class NotebookFailed(RuntimeError):
    """A notebook that stopped; the message names the cell's error and the partial copy."""


def read(source: Path) -> nbformat.NotebookNode:
    """Return a source (.py or .ipynb) as a notebook without outputs; raises ConfigError if the file is missing."""
    if not source.is_file():
        names = ", ".join(path.stem for path in sorted(source.parent.glob("[0-9]*.py"))) or "none"
        raise ConfigError(f"there is no notebook {source}; the notebooks next to it: {names}")
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": KERNEL}
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
    return notebook


def parameters(notebook: nbformat.NotebookNode) -> dict[str, Parameter]:
    """Return the name, type, default and help of each parameter, by name."""
    return {name: Parameter(**facts) for name, facts in papermill.inspect_notebook(notebook).items()}


def check(notebook: nbformat.NotebookNode, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the given texts as values of the parameters' types.

    Raises ConfigError for a parameter that the notebook does not have (with the list of those it has), a value
    of the wrong type or outside its range, and as the sweeps for a bad setting.
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

    ``settings`` are texts for parameters that a notebook may have or not; an empty text keeps the default. The output
    is written whole. Raises ConfigError for a bad parameter before the kernel starts; :class:`NotebookFailed` if a cell
    fails or the kernel dies: then there is no output, only the partial copy next to it, ``NAME.failed.ipynb``.
    """
    notebook = read(source)
    known = parameters(notebook)
    chosen = {name: text for name, text in (settings or {}).items() if text and name in known}
    values = check(notebook, {**chosen, **given})
    if output.suffix != ".ipynb" or output.resolve() == source.resolve():
        raise ConfigError(f"the output is a new .ipynb file, found {output}")
    files.require_writable(output.parent)
    failed = output.with_suffix(".failed.ipynb")
    for earlier in (output, failed):
        earlier.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        running = Path(folder) / output.name
        nbformat.write(notebook, running)
        try:
            _run(running, values)
        except Exception as error:
            files.write(failed, running.read_bytes())
            raise NotebookFailed(f"{source.name} stopped: {_why(error)}; the partial notebook is {failed}") from None
        files.write(output, running.read_bytes())


def execute_all(tasks: Sequence[Task]) -> Iterator[tuple[Path, str]]:
    """Execute notebooks, :data:`TOGETHER` at a time, and yield each output as it ends, with the error's text or ""."""
    calls = [(*task, frozenset(os.environ)) for task in tasks]
    return spread(_attempt, calls, TOGETHER, ordered=False)


def is_current(output: Path, inputs: Iterable[Path]) -> bool:
    """Return whether ``output`` exists and no input is newer."""
    written = output.stat().st_mtime_ns if output.is_file() else -1
    return all(path.stat().st_mtime_ns <= written for path in inputs)


def build(source: Path) -> Path:
    """Execute ``source`` with its defaults and write the committed form next to it: the same bytes every time."""
    output = source.with_suffix(".ipynb")
    execute(source, output, {})
    with files.whole(output) as part:
        nbformat.write(normalise(nbformat.read(output, as_version=4)), part)
    return output


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what differs between two equal executions: times, papermill's records, widget ids, pieces of prints."""
    kept = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    notebook.metadata = nbformat.NotebookNode(kept)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)  # its id is random; the picture next to it stays
        if "outputs" in cell:
            cell["outputs"] = _joined(cell["outputs"])
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the outputs with pieces of one print joined; a busy machine prints in several pieces."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output["name"] == before.get("name"):
            before["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def _attempt(source: Path, output: Path, settings: Mapping[str, str], kept: frozenset[str]) -> tuple[Path, str]:
    """Execute one notebook of :func:`execute_all`, with only the ``kept`` variables in its environment."""
    for name in os.environ.keys() - kept:
        del os.environ[name]  # a process of joblib has its share of threads there; a kernel takes what it finds
    try:
        execute(source, output, {}, settings)
    except (NotebookFailed, ValueError, OSError) as error:
        return output, str(error)
    return output, ""


def _run(path: Path, values: Mapping[str, Any]) -> None:
    """Execute a notebook in place, from the project's root, without a progress bar."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    settings: dict[str, Any] = {"kernel_name": KERNEL, "progress_bar": False, "cwd": str(paths.ROOT)}
    settings["extra_arguments"] = ["--IPKernelApp.log_level=50"]  # no messages about ports
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
                raise ConfigError(f"{name} must be in [{low:g}, {high:g}], found {number!r}")


def _items(text: str) -> list[Any]:
    """Read a list: values separated by spaces ("cce gce:q=0.7", "0 1 2"), or a Python literal."""
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
