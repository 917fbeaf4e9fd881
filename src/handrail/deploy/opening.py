"""A file of APIs: opened within bounds, read item by item, and everything that is off in it said at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from handrail.core.errors import HandrailError
from handrail.core.files import read_limited
from handrail.deploy.problems import Place, Problem, refused, where
from handrail.deploy.reading import Reading
from handrail.deploy.rules import Broken, broken_by, broken_together
from handrail.deploy.shapes import received
from handrail.deploy.spec import ApiSpec
from handrail.deploy.yaml import MAX_BYTES, Document, Node, read_yaml

Style = Literal["handrail", "cortex"]
BEGINNING: Final = Place(1, 1)
MAX_APIS: Final = 1000


@dataclass(frozen=True)
class Found:
    """What a file asks for. `notes`: what is worth saying, but no error; `project`: the folder its paths begin at."""

    specs: tuple[ApiSpec, ...]
    notes: tuple[str, ...]
    project: Path
    style: Style
    path: Path


@dataclass(frozen=True)
class Entry:
    """One API of a file: what it became (None where nothing can be said of it), and how it was read.

    `names`: what the file calls a key, where it is not called as in the specification.
    """

    spec: ApiSpec | None
    reading: Reading
    place: Place
    names: Mapping[str, str] = field(default_factory=dict)

    def key(self, key: str) -> str:
        """The file's word for a key of the specification."""
        for ours, theirs in self.names.items():
            if key == ours or key.startswith((f"{ours}.", f"{ours}[")):
                return theirs + key[len(ours) :]
        return key


def opened(path: Path) -> Document:
    """The contents of a file. Raises HandrailError where it is no plain file, or larger than 1 MB."""
    try:
        content = read_limited(path, MAX_BYTES)
    except HandrailError as error:
        if error.code == "too_large":
            raise HandrailError(
                "too_large", "larger than 1 MB", "keep APIs in several files", where=str(path)
            ) from None
        if path.is_symlink():
            mend = "give the file that it leads to"
            raise HandrailError("data", "a link, not a plain file", mend, where=str(path)) from None
        raise
    return read_yaml(content)


def specs_of(path: Path, document: Document, style: Style, read: Callable[[Node], Entry]) -> Found:
    """Every API of a document. Raises HandrailError ("data") that lists every problem."""
    problems = list(document.problems)
    entries = [read(node) for node in _items(document, problems)]
    problems += [problem for entry in entries for problem in entry.reading.problems]
    problems += _rules(entries)
    if problems:
        raise refused(path, problems)
    specs = tuple(entry.spec for entry in entries if entry.spec is not None)
    notes = sorted(note for entry in entries for note in entry.reading.notes)
    lines = tuple(f"{where(path, place)}: {text}" for place, text in notes)
    return Found(specs, lines, path.absolute().parent, style, path)


def _items(document: Document, problems: list[Problem]) -> Sequence[Node]:
    """The APIs of a document: a list, or a mapping with the one key `apis`."""
    root = document.root
    if root is None or root.broken:
        return ()
    listing = root
    if isinstance(root.value, dict) and "apis" in root.value:
        listing = root.value["apis"]
        others = [(name, node) for name, node in root.value.items() if name != "apis"]
        for name, node in others:
            problems.append(Problem(node.key or node.place, f"unknown key '{name[:60]}' beside 'apis'", "remove it"))
    if not isinstance(listing.value, list):
        hint = "; each begins with '- '" if isinstance(listing.value, dict) else ""
        said = f"expected a list of APIs, received {received(listing)}{hint}"
        problems.append(Problem(listing.place, said, "- model: reviews"))
        return ()
    if not 1 <= len(listing.value) <= MAX_APIS:
        said = f"expected 1 to {MAX_APIS:,} APIs, received {len(listing.value):,}"
        problems.append(Problem(listing.place, said, "- model: reviews"))
        return ()
    return listing.value


def _rules(entries: Sequence[Entry]) -> list[Problem]:
    """What is off beyond single values; nothing is said of keys that are wrong already."""
    known = [(entry, entry.spec) for entry in entries if entry.spec is not None]
    found = [(entry, broken) for entry, spec in known for broken in broken_by(spec)]
    found += [(known[index][0], broken) for index, broken in broken_together([spec for _, spec in known])]
    return [problem for entry, broken in found if (problem := _problem(entry, broken)) is not None]


def _problem(entry: Entry, broken: Broken) -> Problem | None:
    keys = [entry.key(key) for key in broken.keys]
    if any(entry.reading.is_wrong(key) for key in keys):
        return None
    given = next((key for key in keys if key in entry.reading.places), keys[0])
    place = entry.reading.place_of(given, entry.place)
    return Problem(place, f"{keys[0]}: {broken.text}", broken.mend, keys[0])
