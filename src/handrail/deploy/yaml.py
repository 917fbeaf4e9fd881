"""Reads YAML 1.2 strictly, as values that know their line and column; nothing in a file can make an object or run.

Only the events of PyYAML's parser in Python are used, which is the same everywhere: what a value is, is decided here.
Tags, anchors, aliases, merge keys, a second document and keys given twice are refused. `no`, `on`, `0777`, `1_000` and
`12:30:45` are texts, as YAML 1.2 has them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from handrail.deploy.problems import Place, Problem, shown

MAX_BYTES: Final = 1_000_000
MAX_NODES: Final = 10_000
MAX_DEPTH: Final = 20
BYTE_ORDER_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
# Other line separators would be folded into blanks without a word, so they are to be written as escapes.
UNREADABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
OTHER_INT: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
NO_NUMBER: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
MAX_DIGITS: Final = 100
CONSTANTS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# What the parser says, and what it means to somebody who writes a file.
PLAINER: Final = (
    (r"found character '\t'", "a tab where YAML has blanks"),
    ("mapping values are not allowed", "a ':' where none can be; a text that holds ': ' stands in quotes"),
    ("could not find expected ':'", "a key without its ':'"),
    ("but found ':'", "a key is missing before ':'"),
    ("but found '<block mapping start>'", "this line is indented more than those it belongs to"),
    ("expected <block end>", "this line does not line up with those above it"),
    ("expected ',' or ']'", "the list that begins here is not closed, or a ',' is missing"),
    ("expected ',' or '}'", "the mapping that begins here is not closed, or a ',' is missing"),
    ("found unexpected end of stream", "the text that begins here is not closed"),
    ("found unexpected document separator", "the text that begins here is not closed"),
    ("unknown escape character", "no escape of YAML; a text with backslashes stands in single quotes"),
    ("expected escape sequence of", "the escape in these double quotes is not finished"),
    ("incompatible YAML document", "YAML of another version; this is read as YAML 1.2"),
    ("expected the node content", "a value is missing"),
    ("cannot start any token", "a text that begins with this character stands in quotes"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file: where it stands, where its key stands, and for a single value how it was written.

    `broken`: what stands there was refused already, so nothing more is said of it.
    """

    value: bool | int | float | str | list[Node] | dict[str, Node] | None
    place: Place
    written: str = ""
    key: Place | None = None
    broken: bool = False


@dataclass(frozen=True)
class Document:
    """What a file holds, as far as it could be read, and what is off in it. `root` None: it is no YAML at all."""

    root: Node | None
    problems: tuple[Problem, ...]


def read_yaml(content: bytes) -> Document:
    """The one document of a file, however damaged or hostile it is."""
    text, problem = _decoded(content)
    if problem is not None:
        return Document(None, (problem,))
    reading = _Reading(_Events(text))
    root = reading.document()
    return Document(root, tuple(reading.problems))


def plain(node: Node) -> Any:
    """The value of a node without places: what Python and JSON know."""
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    return node.value


def _decoded(content: bytes) -> tuple[str, Problem | None]:
    """The text of a file, and what keeps it from being one."""
    mark, encoding = next((pair for pair in BYTE_ORDER_MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        place = _end_of(content[: error.start].decode(encoding, "replace"))
        return "", Problem(place, f"this is not {encoding.upper()} text", "save the file as UTF-8")
    found = UNREADABLE.search(text)
    if found is None:
        return text, None
    problem = f"the character U+{ord(found[0]):04X} is not allowed here"
    mend = (
        f'remove it, or write "\\u{ord(found[0]):04x}" in double quotes'
        if found[0] != "\0"
        else "save the file as UTF-8"
    )
    return "", Problem(_end_of(text[: found.start()]), problem, mend)


def _end_of(before: str) -> Place:
    """The place after a text."""
    plain_ends = before.replace("\r\n", "\n").replace("\r", "\n")
    return Place(plain_ends.count("\n") + 1, len(plain_ends) - plain_ends.rfind("\n"))


class _Refused(Exception):  # noqa: N818 - it never leaves this file
    """What ends the reading of a file."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class _Events(Reader, Scanner, Parser):
    """PyYAML without the parts that make objects, and without patience for brackets in brackets.

    Each open bracket may be the beginning of a key, so the scanner looks far ahead for each of them: what is too deep
    has to be refused there, before the parser sees it.
    """

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= MAX_DEPTH:
            raise _Refused(_too_deep(self.here()))
        Scanner.fetch_flow_collection_start(self, TokenClass)

    def here(self) -> Place:
        return _place(self.get_mark())


class _Reading:
    """One pass over the events of a file."""

    def __init__(self, events: _Events) -> None:
        self.problems: list[Problem] = []
        self.events = events
        self.nodes = 0

    def document(self) -> Node | None:
        try:
            return self._only_document()
        except _Refused as end:
            self.problems.append(end.problem)
        except YAMLError as error:
            self.problems.append(_off(error, self.events))
        except (ValueError, OverflowError):  # an escape such as \UFFFFFFFF, which is no character
            self.problems.append(Problem(self.events.here(), "an escape that stands for no character"))
        return None

    def _only_document(self) -> Node:
        root: Node | None = None
        while not isinstance(event := self._next(), StreamEndEvent):
            if isinstance(event, NodeEvent):
                root = self._node(event, 0)
            elif isinstance(event, DocumentStartEvent):
                self._check_start(event, is_first=root is None)
        return root or Node(None, Place(1, 1))

    def _next(self) -> Event:
        event: Event = self.events.get_event()  # type: ignore[no-untyped-call]
        return event

    def _check_start(self, event: DocumentStartEvent, *, is_first: bool) -> None:
        if not is_first:
            mend = "keep each document in a file of its own"
            raise _Refused(Problem(_start(event), "a second document begins here", mend))
        if event.version is not None and event.version != (1, 2):
            raise _Refused(Problem(_start(event), "this is read as YAML 1.2", "remove the line with %YAML"))

    def _node(self, event: Event, depth: int) -> Node:
        """The node that begins with `event`, read to its end."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _Refused(Problem(_start(event), f"more than {MAX_NODES:,} values", "keep APIs in several files"))
        allowed = self._allowed(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, allowed)
        if isinstance(event, AliasEvent):
            return Node(None, _start(event), broken=True)
        if depth >= MAX_DEPTH:
            raise _Refused(_too_deep(_start(event)))
        if isinstance(event, SequenceStartEvent):
            return Node(self._items(depth), _start(event), broken=not allowed)
        return Node(self._pairs(depth), _start(event), broken=not allowed)

    def _allowed(self, event: Event) -> bool:
        """False, with a problem noted, where a node is an alias or carries a tag or an anchor."""
        if isinstance(event, AliasEvent):
            said = "aliases are not allowed"
        elif getattr(event, "tag", None) is not None:
            said = "tags are not allowed"
        elif getattr(event, "anchor", None) is not None:
            said = "anchors are not allowed"
        else:
            return True
        self._tell(_start(event), said, "write the value itself")
        return False

    def _items(self, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _pairs(self, depth: int) -> dict[str, Node]:
        pairs: dict[str, Node] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, depth)
            value = self._node(self._next(), depth + 1)
            if key is None:
                continue
            if key in pairs:
                self._tell_twice(key, pairs[key].key, _start(event))
                continue
            pairs[key] = Node(value.value, value.place, value.written, _start(event), value.broken)
        return pairs

    def _key(self, event: Event, depth: int) -> str | None:
        """The text of a key; None, with a problem noted, where it is none."""
        before = len(self.problems)
        node = self._node(event, depth + 1)
        if len(self.problems) > before:
            return None
        if not isinstance(event, ScalarEvent):
            self._tell(_start(event), "expected a key, received a list or a mapping", "a key is a plain word")
            return None
        if event.style is None and event.value in ("", "<<"):
            said = "merge keys are not allowed" if event.value else "a key is missing before ':'"
            self._tell(_start(event), said, "write the keys themselves")
            return None
        return node.written

    def _scalar(self, event: ScalarEvent, allowed: bool) -> Node:
        text, said = _joined(event.value)
        value: Any = text
        if not event.style and said is None:
            value, said = _resolved(text)
        if said is not None:
            self._tell(_start(event), said, "write it in quotes, if it is a text")
        return Node(value, _start(event), text, broken=not allowed or said is not None)

    def _tell_twice(self, key: str, first: Place | None, again: Place) -> None:
        line = first.line if first else again.line
        self._tell(again, f"the key {shown(key)} is given twice (lines {line} and {again.line})", "keep one of them")

    def _tell(self, place: Place, text: str, mend: str) -> None:
        self.problems.append(Problem(place, text, mend))


def _joined(text: str) -> tuple[str, str | None]:
    """A text whose escapes may be halves of characters, as in JSON, and what is off with it."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text, None
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le"), None
    except UnicodeDecodeError:
        return "", "an escape that stands for half a character"


def _resolved(text: str) -> tuple[bool | int | float | str | None, str | None]:
    """What a text without quotes stands for, and what is off with it: YAML 1.2's core schema, without leading zeros."""
    if text in CONSTANTS:
        return CONSTANTS[text], None
    if NO_NUMBER.fullmatch(text):
        return text, "expected a finite number"
    if FLOAT.fullmatch(text) is None and OTHER_INT.fullmatch(text) is None:
        return text, None
    if len(text) > MAX_DIGITS:
        return text, f"a number of {len(text):,} digits"
    if FLOAT.fullmatch(text) and not INT.fullmatch(text):
        number = float(text)
        return number, None if math.isfinite(number) else "expected a finite number"
    whole = int(text, 0)
    return whole, None if -(2**63) <= whole < 2**63 else "a whole number of more than 64 bits"


def _off(error: YAMLError, events: _Events) -> Problem:
    """The parser's complaint in plain words, at the place where the mistake is."""
    if not isinstance(error, MarkedYAMLError):
        return Problem(events.here(), "this is not YAML")
    said = error.problem or ""
    meaning = next((meaning for part, meaning in PLAINER if part in said), f"this is not YAML: {said}")
    begins = "begins here" in meaning and error.context_mark is not None
    mark = error.context_mark if begins else error.problem_mark or error.context_mark
    return Problem(events.here() if mark is None else _place(mark), meaning)


def _too_deep(place: Place) -> Problem:
    return Problem(place, f"nested deeper than {MAX_DEPTH}", "no key of this file is nested so deep")


def _start(event: Event) -> Place:
    return _place(event.start_mark)


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
