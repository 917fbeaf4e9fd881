"""Reads a file by a table of its keys: every value that is right, and a problem for every one that is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from handrail.core.errors import clipped, closest, listed
from handrail.deploy.problems import SHOWN, Place, Problem, one_line, shown
from handrail.deploy.shapes import Shape, received
from handrail.deploy.yaml import Node, plain

# What ends like these holds what nobody should read in a message or in a file.
SECRET: Final = re.compile(
    r"(?:password|passwd|secret|credentials?)$|(?:^|[._-])(?:pwd|token|api_?key|access_?key|private_?key)$",
    re.IGNORECASE,
)
NO_SECRET: Final = re.compile(
    r"(?:eos|bos|pad|unk|mask|sep|cls|start|end|stop|max|min|new|special)_token$", re.IGNORECASE
)
Known: TypeAlias = "Shape | Section | ListOf | Named | Choice | Anything"


@dataclass(frozen=True)
class Key:
    """One key of a mapping. `fills`: the field that it fills, where that has another name.

    `unused`: why it is read but has no effect here. `default`: what the reference says where no field knows it.
    """

    name: str
    shape: Known
    says: str = ""
    fills: str = ""
    is_needed: bool = False
    unused: str = ""
    default: str = ""

    @property
    def target(self) -> str:
        return self.fills or self.name


@dataclass(frozen=True)
class Section:
    """A mapping with known keys. `make`: the value it becomes (None: a plain dict of what was given)."""

    words: str
    keys: tuple[Key, ...]
    make: Callable[..., Any] | None = None
    says: str = ""

    def key(self, name: str) -> Key | None:
        return next((key for key in self.keys if key.name == name), None)


@dataclass(frozen=True)
class ListOf:
    """A list; each item is read by itself."""

    item: Section | Shape
    words: str
    limit: int = 1000


@dataclass(frozen=True)
class Named:
    """A mapping whose keys are names of the user's own."""

    names: str
    item: Shape
    words: str


@dataclass(frozen=True)
class Choice:
    """A list, or a mapping."""

    many: ListOf
    one: Section

    @property
    def words(self) -> str:
        return f"{self.one.words} or {self.many.words}"


@dataclass(frozen=True)
class Anything:
    """A mapping that is handed on as it stands."""

    words: str = "a mapping"


@dataclass
class Reading:
    """What is found while one API is read. Keys are told with the path to them: `compute.mem`, `traffic[0].weight`.

    `other_names`: words of other systems for keys of this one. `allows_nothing`: a key without a value is one that was
    not given.
    """

    project: Path
    other_names: Mapping[str, str] = field(default_factory=dict)
    allows_nothing: bool = False
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[Place, str]] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    def tell(self, place: Place, path: str, text: str, mend: str | None = None) -> None:
        self.wrong.add(path)
        self.problems.append(Problem(place, f"{path}: {text}" if path else text, mend, path or None))

    def place_of(self, path: str, otherwise: Place) -> Place:
        """Where a key stands, or the nearest above it that was given."""
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places.get(path, otherwise)

    def is_wrong(self, path: str) -> bool:
        """True when a key, one above it or one below it is wrong: then rules that look at it say nothing."""
        return any(path == bad or _is_below(path, bad) or _is_below(bad, path) for bad in self.wrong)


def read_value(shape: Known, node: Node, path: str, into: Reading) -> Any:
    """The value of a node, None where it is wrong (`into.wrong` tells)."""
    into.places[path] = node.place
    if node.broken:
        into.wrong.add(path)
        return None
    if isinstance(shape, Choice):
        shape = shape.many if isinstance(node.value, list) else shape.one
    if isinstance(shape, Section):
        return _section(shape, node, path, into)
    if isinstance(shape, ListOf):
        return _items(shape, node, path, into)
    if isinstance(shape, Anything):
        return _anything(node, path, into)
    return _named(shape, node, path, into) if isinstance(shape, Named) else _single(shape, node, path, into)


def _section(section: Section, node: Node, path: str, into: Reading) -> Any:
    if not isinstance(node.value, dict):
        example = listed(key.name for key in section.keys)
        return _unexpected(section.words, node, path, into, mend=f"its keys: {example}")
    values: dict[str, Any] = {}
    for name, item in node.value.items():
        key = section.key(name)
        if key is None:
            _tell_unknown(name, item, section, path, into)
        elif not (into.allows_nothing and item.value is None and not item.broken):
            _fill(key, item, _below(path, name), values, into)
    for key in section.keys:
        if key.is_needed and key.target not in values:
            into.tell(node.place, _below(path, key.name), f"missing; expected {key.shape.words}")
            values[key.target] = ""
    return values if section.make is None else section.make(**values)


def _fill(key: Key, node: Node, path: str, values: dict[str, Any], into: Reading) -> None:
    """Puts the value of a key where it belongs, unless it is wrong or has no effect."""
    value = read_value(key.shape, node, path, into)
    if path in into.wrong:
        values.update({key.target: ""} if key.is_needed else {})
    elif key.unused:
        into.notes.append((node.key or node.place, f"{path}: {key.unused}"))
    elif key.target in values:
        into.tell(
            node.key or node.place, path, f"it says the same as another key of {path.rpartition('.')[0] or 'this API'}"
        )
    else:
        values[key.target] = value


def _items(shape: ListOf, node: Node, path: str, into: Reading) -> Any:
    if not isinstance(node.value, list):
        return _unexpected(shape.words, node, path, into, mend="items begin with '- '")
    if len(node.value) > shape.limit:
        into.tell(node.place, path, f"expected at most {shape.limit:,} items, received {len(node.value):,}")
        return None
    read = [(f"{path}[{index}]", item) for index, item in enumerate(node.value)]
    values = [(at, read_value(shape.item, item, at, into)) for at, item in read]
    return tuple(value for at, value in values if at not in into.wrong)


def _named(shape: Named, node: Node, path: str, into: Reading) -> Any:
    if not isinstance(node.value, dict):
        return _unexpected(shape.words, node, path, into)
    values = {}
    for name, item in node.value.items():
        at = _below(path, name)
        value = read_value(shape.item, item, at, into)
        if re.fullmatch(shape.names, name, re.ASCII) is None:
            into.wrong.add(at)
            text = f"{path}: {shown(name)} is no name here ({shape.names})"
            into.problems.append(Problem(item.key or item.place, text, None, path))
        elif at not in into.wrong:
            values[name] = value
    _note_secrets(node, path, into)
    return values


def _anything(node: Node, path: str, into: Reading) -> Any:
    if not isinstance(node.value, dict):
        return _unexpected(Anything.words, node, path, into)
    if _holds_broken(node):
        into.wrong.add(path)
    _note_secrets(node, path, into)
    return plain(node)


def _holds_broken(node: Node) -> bool:
    below = node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    return node.broken or any(_holds_broken(item) for item in below)


def _note_secrets(node: Node, path: str, into: Reading) -> None:
    """Notes every text in a mapping whose name says that it is a secret."""
    if not isinstance(node.value, dict):
        return
    for name, item in node.value.items():
        at = _below(path, name)
        if isinstance(item.value, str) and item.value and is_secret(name):
            into.notes.append(
                (item.place, f"{at} stands in this file for everybody to read; write it into .env instead")
            )
        _note_secrets(item, at, into)


def is_secret(name: str) -> bool:
    """True for the name of something that nobody should read: DB_PASSWORD, api_key; not for eos_token."""
    return SECRET.search(name) is not None and NO_SECRET.search(name) is None


def _single(shape: Shape, node: Node, path: str, into: Reading) -> Any:
    try:
        value = shape.read(node)
    except ValueError as error:
        return _unexpected(shape.words, node, path, into, hint=str(error), mend=f"for example {shape.example}")
    try:
        return value if shape.found is None else shape.found(value, into.project)
    except ValueError as error:
        into.tell(node.place, path, str(error))
        return None


def _unexpected(words: str, node: Node, path: str, into: Reading, *, hint: str = "", mend: str | None = None) -> None:
    said = received(node, secret=is_secret(path))
    into.tell(node.place, path, f"expected {words}, received {said}{'; ' if hint else ''}{hint}", mend)


def _tell_unknown(name: str, node: Node, section: Section, path: str, into: Reading) -> None:
    names = [key.name for key in section.keys]
    mend = f"the keys {'of ' + path if path else 'here'}: {listed(names, 30)}"
    hint = _hint(name, section, into) if len(into.problems) < SHOWN else ""
    into.wrong.add(_below(path, name))
    text = f"unknown key {shown(name)}{' in ' + path if path else ''}{hint}"
    into.problems.append(Problem(node.key or node.place, text, mend, _below(path, name)))


def _hint(name: str, section: Section, into: Reading) -> str:
    """Which key may have been meant: one of this mapping or of one inside it, or another system's word for it."""
    names = [key.name for key in section.keys]
    other = into.other_names.get(name)
    if other in names:
        return f"; it is called '{other}' here"
    inside = [key.name for key in section.keys if name in _names_in(key.shape) or other in _names_in(key.shape)]
    if inside:
        return f"; write it under '{inside[0]}'" if other is None else f"; write '{other}' under '{inside[0]}'"
    near = closest(name, names)
    return f". Did you mean '{near}'?" if near else ""


def _names_in(shape: object) -> Iterable[str | None]:
    if isinstance(shape, ListOf):
        return _names_in(shape.item)
    return [key.name for key in shape.keys] if isinstance(shape, Section) else []


def _below(path: str, name: str) -> str:
    name = clipped(one_line(name), 60)
    return f"{path}.{name}" if path else name


def _is_below(path: str, above: str) -> bool:
    return path.startswith((f"{above}.", f"{above}["))
