"""One kind of table for everything that has a name.

A loss, weighting, target, noise, data set, split, model, sweep, study or figure is one decorated function. Its
keyword-only parameters are its *knobs*; their annotations are their ranges, checked by pydantic. A *spec*
names an entry and sets knobs: ``"cce"``, ``"gce:q=0.7"``, ``"symmetric:0.4"`` (a value without a name goes
to the first knob).
"""

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model


class SpecError(ValueError):
    """A name, knob or value that the library does not know; its message is one sentence."""


@dataclass(frozen=True)
class Entry:
    """A registered function with its name, its words for readers and its knobs."""

    name: str
    kind: str
    function: Callable[..., Any]
    label: str
    source: str
    knobs: type[BaseModel]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``given`` as typed values without the defaults; raise :class:`SpecError` on a bad one."""
        try:
            typed = self.knobs.model_validate(dict(given)).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise SpecError(f"{self.kind} {self.name!r}: {first_error(error, self.knobs)}") from None
        values = {**self.defaults(), **typed}
        for low, high in pairwise(self.meta.get("increasing", ())):
            if not values[low] < values[high]:
                found = f"{low} = {_plain(values[low])} and {high} = {_plain(values[high])}"
                raise SpecError(f"{self.kind} {self.name!r}: {low} must be less than {high}, found {found}")
        return typed

    def defaults(self) -> dict[str, Any]:
        """Return every knob with its default (``None`` where it has none)."""
        return {name: None if info.is_required() else info.default for name, info in self.knobs.model_fields.items()}


@dataclass(frozen=True)
class Spec:
    """An entry with its knobs set: what a string such as ``"gce:q=0.7"`` means."""

    entry: Entry
    knobs: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def values(self) -> dict[str, Any]:
        """Every knob's value, defaults included."""
        return {**self.entry.defaults(), **self.knobs}

    def __str__(self) -> str:
        """The canonical spec: knobs by name, in the order of the signature, those at their default left out."""
        defaults = self.entry.defaults()
        ordered = [(name, self.knobs[name]) for name in defaults if name in self.knobs]
        changed = [f"{name}={_plain(value)}" for name, value in ordered if value != defaults[name]]
        if len(defaults) == 1:
            changed = [item.split("=", 1)[1] for item in changed] if self._positional() else changed
        return ":".join([self.name, ",".join(changed)]) if changed else self.name

    def _positional(self) -> bool:
        """Whether the only knob has no default, so that it is written without its name (``symmetric:0.4``)."""
        return all(info.is_required() for info in self.entry.knobs.model_fields.values())

    @property
    def label(self) -> str:
        """The words for a legend: the entry's label and, in brackets, the knobs it always ``shows`` or that differ."""
        defaults = self.entry.defaults()
        always = self.entry.meta.get("shows", ())
        knobs = [f"{name} = {_plain(v)}" for name, v in self.values.items() if name in always or v != defaults[name]]
        return f"{self.entry.label} ({', '.join(knobs)})" if knobs else self.entry.label


class Registry(Mapping[str, Callable[..., Any]]):
    """A table from names to functions of one kind; a mapping, so ``FIGURES["headline"](rows)`` works.

    ``context`` names the keyword-only parameters that the caller supplies and a spec therefore cannot set.
    """

    def __init__(self, kind: str, context: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.context = context
        self.entries: dict[str, Entry] = {}

    def register(self, name: str, *, label: str, source: str, **meta: Any) -> Callable[[Callable[..., Any]], Any]:
        """Return a decorator that enters a function under ``name``; raises :class:`SpecError` on a duplicate.

        The decorated function is returned with its knobs checked at each call, so that ``losses.gce(z, t, q=0)``
        is refused as ``"gce:q=0"`` is.
        """
        if name in self.entries:
            raise SpecError(f"{self.kind} {name!r} is registered twice; the names in use are {self.listing()}")

        def enter(function: Callable[..., Any]) -> Callable[..., Any]:
            entry = self.entries[name] = self.describe(name, function, label=label, source=source, **meta)
            knobs = entry.knobs

            @functools.wraps(function)
            def checked(*args: Any, **kwargs: Any) -> Any:
                given = {key: value for key, value in kwargs.items() if key in knobs.model_fields}
                return function(*args, **{**kwargs, **entry.check(given)}) if given else function(*args, **kwargs)

            return checked

        return enter

    def describe(self, name: str, function: Callable[..., Any], *, label: str, source: str, **meta: Any) -> Entry:
        """Return the entry that ``function`` would have, without entering it."""
        return Entry(name, self.kind, function, label, source, _knobs_of(function, self.context), meta)

    def entry(self, name: str) -> Entry:
        """Return the entry called ``name``; raises :class:`SpecError` with the names there are."""
        if name not in self.entries:
            close = difflib.get_close_matches(name, self.entries, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise SpecError(f"unknown {self.kind} {name!r}: {hint}there is {self.listing()}")
        return self.entries[name]

    def parse(self, spec: str) -> Spec:
        """Read ``"name"``, ``"name:knob=value,knob=value"`` or ``"name:value"``.

        Raises :class:`SpecError` for an unknown name, an unknown knob, a value of the wrong type or out of its
        range, and text that is not a spec.
        """
        if not isinstance(spec, str) or not spec.strip():
            raise SpecError(f"a {self.kind} is written as 'name' or 'name:knob=value', found {spec!r}")
        name, colon, text = spec.strip().partition(":")
        entry = self.entry(name.strip())
        if colon and not text.strip():
            raise SpecError(f"{self.kind} {spec!r}: nothing follows the colon; its knobs are {_listing(entry)}")
        return Spec(entry, entry.check(_read_knobs(entry, text)))

    @property
    def plural(self) -> str:
        """What the table holds, in words: methods, data sets, studies."""
        return self.kind.removesuffix("y") + "ies" if self.kind.endswith("y") else f"{self.kind}s"

    def listing(self) -> str:
        """The names in use, in the order of registration."""
        return ", ".join(self.entries) or "nothing yet"

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self.entry(name).function

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries


def first_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first of pydantic's findings in one sentence: what was expected, found, and would be right."""
    finding = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")  # a wrong name explains more
    name = ".".join(str(part) for part in finding["loc"][:1])
    if finding["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "none"
        close = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"no parameter {name!r}, the parameters are: {known}{hint}"
    if finding["type"] == "missing":
        return f"the parameter {name!r} is missing"
    message = re.sub(r"^(Value error|Assertion failed), ", "", finding["msg"])
    if finding["type"] == "value_error":
        return message
    return f"{name} = {finding['input']!r}: {message[:1].lower()}{message[1:]}"


def _knobs_of(function: Callable[..., Any], context: tuple[str, ...]) -> type[BaseModel]:
    """Build the pydantic model of a function's keyword-only parameters, those in ``context`` left out."""
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and name not in context:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (Any if parameter.annotation is parameter.empty else parameter.annotation, default)
    config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())
    return create_model(f"{getattr(function, '__name__', 'method')}_knobs", __config__=config, **fields)


def _read_knobs(entry: Entry, text: str) -> dict[str, str]:
    """Split ``"beta=8,lam=0.5"`` or ``"0.4"`` into names and texts."""
    names = list(entry.knobs.model_fields)
    given: dict[str, str] = {}
    for index, item in enumerate(part.strip() for part in text.split(",") if text.strip()):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            if index or not names:
                hint = ", and no value holds a comma" if index else ""
                raise SpecError(
                    f"{entry.kind} {entry.name!r}: {item!r} is not knob=value; knobs: {_listing(entry)}{hint}"
                )
            name, value = names[0], name
        if name in given:
            raise SpecError(f"{entry.kind} {entry.name!r}: {name} is given twice")
        given[name] = value
    return given


def _listing(entry: Entry) -> str:
    return ", ".join(entry.knobs.model_fields) or "none"


def _plain(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


METHODS = Registry("method", context=("progress", "recalled"))
NOISES = Registry("noise", context=("num_classes", "rng", "images", "superclasses", "flips", "human", "others"))
DATASETS = Registry("data set")
SPLITS = Registry("split", context=("labels", "features", "size", "seed"))
MODELS = Registry("model", context=("num_classes", "in_channels"))
SWEEPS = Registry("sweep", context=("setting",))
STUDIES = Registry("study")
FIGURES = Registry("figure")
TABLES = (METHODS, NOISES, DATASETS, SPLITS, MODELS, SWEEPS, STUDIES, FIGURES)


def additions() -> list[Entry]:
    """Return the entries that come from outside the package, to be sent to other processes."""
    entries = [entry for table in TABLES for entry in table.entries.values()]
    return [entry for entry in entries if not (entry.function.__module__ or "").startswith("robustdl_lib.")]


def add(entries: list[Entry]) -> None:
    """Enter ``entries`` (from :func:`additions` of another process) in their tables, where they are not yet."""
    for table in TABLES:
        table.entries.update({entry.name: entry for entry in entries if entry.kind == table.kind})
