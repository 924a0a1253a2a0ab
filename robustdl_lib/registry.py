"""One kind of table for everything that has a name.

A loss, weighting, target, noise, data set, split, model, sweep, study or figure is one decorated function. Its
keyword-only parameters are its *knobs*; their annotations are their ranges, checked by pydantic. A *spec* names an
entry and sets knobs: ``"cce"``, ``"gce:q=0.7"``, ``"symmetric:0.4"`` (a value without a name is of the first knob).
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model


class SpecError(ValueError):
    """A name, knob or value that the library does not know; its message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What any registration may state of its knobs.

    ``shows`` are the knobs that a legend always names; ``increasing`` are knobs whose values must rise in this order.
    """

    shows: tuple[str, ...] = ()
    increasing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MethodFacts(Facts):
    """What a training method states: its ``role`` (loss, weight or target), and what the lens and the objective need.

    ``formula`` is the loss or weight in p = p_y; ``whole`` the loss over vectors, which holds for the knobs
    ``whole_for``; ``says`` is a short form for tables. ``spans`` are ranges of sliders. ``memory`` is the class of what
    the method remembers, ``trust`` the function of its trust. ``knows_batch``: an example's loss depends on the others
    of its batch; ``missing``: it takes examples without a label.
    """

    role: Literal["loss", "weight", "target"]
    formula: str | None = None
    whole: str | None = None
    whole_for: Mapping[str, Any] = field(default_factory=dict)
    says: str | None = None
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    memory: type[Any] | None = None
    trust: Callable[..., Any] | None = None
    knows_batch: bool = False
    missing: bool = False


@dataclass(frozen=True, kw_only=True)
class NoiseFacts(Facts):
    """What a noise states: whether it ``draws`` labels, whether it ``changes_images``, the ``licence`` of its data."""

    draws: bool = False
    changes_images: bool = False
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetFacts(Facts):
    """What a data set states: its augmentation, its classes' relations, its splits and the data that go with it.

    ``pad`` pixels for crops and ``flip`` for mirror images; ``flips`` maps a class to its look-alike, ``superclasses``
    a class to its superclass; ``validation`` examples; ``official_test``: the test set is given; ``partner`` is the
    data set of its out-of-distribution examples, ``human`` the name of its human labels.
    """

    pad: int = 0
    flip: bool = False
    flips: Mapping[int, int] = field(default_factory=dict)
    superclasses: Any = None
    validation: int | None = None
    official_test: bool = False
    partner: str | None = None
    human: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepFacts(Facts):
    """What a sweep states: whether its runs are kept ``apart``, and whether it is one of the ``papers``' own."""

    apart: bool = False
    papers: bool = False


@dataclass(frozen=True, kw_only=True)
class FigureFacts(Facts):
    """What a figure states: where its rows come from and the columns that it reads.

    ``rows`` is ``"runs"``, ``"p_y"``, ``"study:NAME"`` or a function; ``prepare`` turns such rows into ``columns``.
    ``papers`` returns the runs of the papers' own setting; a ``diagram`` has no axes; ``may_be_empty``: prepared rows
    may be none.
    """

    rows: str | Callable[..., Any]
    columns: tuple[str, ...]
    prepare: Callable[..., Any] | None = None
    papers: Callable[..., Any] | None = None
    diagram: bool = False
    may_be_empty: bool = False


@dataclass(frozen=True)
class Entry:
    """A registered function with its name, its words for readers and its knobs."""

    name: str
    kind: str
    function: Callable[..., Any]
    label: str
    source: str
    knobs: type[BaseModel]
    facts: Any

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``given`` as typed values without the defaults; raise :class:`SpecError` on a bad one."""
        try:
            typed = self.knobs.model_validate(dict(given)).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise SpecError(f"{self.kind} {self.name!r}: {first_error(error, self.knobs)}") from None
        values = {**self.defaults(), **typed}
        for low, high in pairwise(self.facts.increasing):
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
        always = self.entry.facts.shows
        knobs = [f"{name} = {_plain(v)}" for name, v in self.values.items() if name in always or v != defaults[name]]
        return f"{self.entry.label} ({', '.join(knobs)})" if knobs else self.entry.label


class Registry(Mapping[str, Callable[..., Any]]):
    """A table from names to functions of one kind; a mapping, so ``FIGURES["headline"](rows)`` works.

    ``room`` is the package whose files fill the table, and ``facts`` the type of what a registration may state.
    ``context`` names the keyword-only parameters that the caller supplies and a spec therefore cannot set.
    """

    def __init__(self, kind: str, room: str, facts: type["Facts"] | None = None, context: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.facts = facts or Facts
        self.room = f"{__package__}.{room}"
        self.context = context
        self._entries: dict[str, Entry] = {}
        self._state = "empty"
        self._parsed: dict[str, Spec] = {}
        self.adapt: Callable[[Entry], Callable[..., Any]] | None = None  # wraps each function that is entered

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries by name; the first look-up imports every file of the room."""
        if self._state != "filled":
            with _FILLING:
                self._fill()
        return self._entries

    def _fill(self) -> None:
        if self._state != "empty":  # a file of the room looks something up while it is imported
            return
        self._state = "being filled"
        try:
            room = importlib.import_module(self.room)
            for file in pkgutil.iter_modules(room.__path__, f"{self.room}."):
                importlib.import_module(file.name)
            self._state = "filled"
        except BaseException:
            self._state = "empty"
            raise

    def register(self, name: str, *, label: str, source: str, **facts: Any) -> Callable[[Callable[..., Any]], Any]:
        """Return a decorator that enters a function under ``name``; raises :class:`SpecError` on a duplicate.

        The decorated function is returned with its knobs checked at each call, so that ``losses.gce(z, t, q=0)``
        is refused as ``"gce:q=0"`` is.
        """
        self._require_new(name, self._entries)

        def enter(function: Callable[..., Any]) -> Callable[..., Any]:
            inside = (function.__module__ or "").startswith(f"{self.room}.")
            entries = self._entries if inside else self.entries  # names of the library are taken first
            self._require_new(name, entries)
            entry = self.describe(name, function, label=label, source=source, **facts)
            if self.adapt:
                entry = replace(entry, function=self.adapt(entry))
            entries[name] = entry
            knobs, adapted = entry.knobs, entry.function

            @functools.wraps(function)
            def checked(*args: Any, **kwargs: Any) -> Any:
                given = {key: value for key, value in kwargs.items() if key in knobs.model_fields}
                return adapted(*args, **{**kwargs, **entry.check(given)}) if given else adapted(*args, **kwargs)

            return checked

        return enter

    def _require_new(self, name: str, entries: Mapping[str, Entry]) -> None:
        if name in entries:
            raise SpecError(f"{self.kind} {name!r} is registered twice; the names in use are {', '.join(entries)}")

    def describe(self, name: str, function: Callable[..., Any], *, label: str, source: str, **facts: Any) -> Entry:
        """Return the entry that ``function`` would have, without entering it; raises SpecError for an unknown fact."""
        return Entry(
            name, self.kind, function, label, source, _knobs_of(function, self.context), self._typed(name, facts)
        )

    def _typed(self, name: str, given: Mapping[str, Any]) -> Any:
        known = [fact.name for fact in fields(self.facts)]
        for word in given:
            if word not in known:
                close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise SpecError(f"{self.kind} {name!r}: no fact {word!r}, the facts are: {', '.join(known)}{hint}")
        try:
            return self.facts(**given)
        except TypeError as error:
            raise SpecError(f"{self.kind} {name!r}: {str(error).partition('() ')[2]}") from None

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
        known = self._parsed.get(spec)
        if known is None or self.entries.get(known.name) is not known.entry:  # another has the name by now
            known = self._parsed[spec] = self._read(spec)
        return known

    def _read(self, spec: str) -> Spec:
        name, colon, text = spec.strip().partition(":")
        entry = self.entry(name.strip())
        if colon and not text.strip():
            raise SpecError(f"{self.kind} {spec!r}: nothing follows the colon; its knobs are {_listing(entry)}")
        return Spec(entry, entry.check(_read_knobs(entry, text)))

    @property
    def plural(self) -> str:
        """What the table holds, in words: methods, data sets, studies."""
        return "studies" if self.kind == "study" else f"{self.kind}s"

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


_FILLING = threading.RLock()
METHODS = Registry("method", "methods", MethodFacts, context=("progress", "recalled"))
NOISES = Registry(
    "noise",
    "data.noise",
    NoiseFacts,
    context=("num_classes", "rng", "images", "superclasses", "flips", "human", "others"),
)
DATASETS = Registry("data set", "data", DatasetFacts)
SPLITS = Registry("split", "data", context=("labels", "features", "size", "seed"))
MODELS = Registry("model", "training", context=("num_classes", "in_channels"))
SWEEPS = Registry("sweep", "studies", SweepFacts, context=("setting",))
STUDIES = Registry("study", "studies")
FIGURES = Registry("figure", "plots", FigureFacts)
TABLES = (METHODS, NOISES, DATASETS, SPLITS, MODELS, SWEEPS, STUDIES, FIGURES)


def additions() -> list[Entry]:
    """Return the entries that come from outside the package, to be sent to other processes."""
    entries = [entry for table in TABLES for entry in table._entries.values()]  # registering fills no table
    return [entry for entry in entries if not (entry.function.__module__ or "").startswith("robustdl_lib.")]


def add(entries: list[Entry]) -> None:
    """Enter ``entries`` (from :func:`additions` of another process) in their tables, where they are not yet."""
    tables = {table.kind: table for table in TABLES}
    for entry in entries:
        tables[entry.kind].entries[entry.name] = entry
