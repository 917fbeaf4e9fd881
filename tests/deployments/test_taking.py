"""A class is taken from where it stands: from a module, a script that deploys it, or the cells of a notebook."""

from __future__ import annotations

import functools
import linecache
import logging
import re
import sys
import types
import xml.etree.ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor as down
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deployments.taking import code_of_class

log = logging.getLogger("taken")
DIGITS = re.compile(r"\d+", re.IGNORECASE)
WORDS = {"en": ["one", "two"], "de": ("eins",)}
OTHER = object()


@dataclass(frozen=True)
class Word:
    text: str
    length: int = 0


class Shared:
    def named(self) -> str:
        return f"{type(self).__name__}:{twice('a')}"


@functools.cache
def twice(text: str) -> str:
    return once(text) + once(text)


def once(text: str) -> str:
    return text if len(text) < 100 else twice(text[:1])


class PythonPredictor(Shared):
    def __init__(self, config: dict[str, Any]) -> None:
        self.words = [Word(text) for text in WORDS["en"]]

    def predict(self, payload: str) -> list[Any]:
        found = xml.etree.ElementTree.fromstring(payload)
        log.info("asked")
        number = DIGITS.search(found.text or "")
        return [self.named(), self.words[0].text, down(2.5), number and number.group()]


class Needing:
    def predict(self) -> object:
        return OTHER


class Unrelated:
    def predict(self) -> str:
        OTHER = ["its own"]
        OTHER.append("too")
        return OTHER[0]


def run(code: str) -> dict[str, Any]:
    module = types.ModuleType("taken_apart")
    sys.modules["taken_apart"] = module
    try:
        exec(compile(code, "predictor.py", "exec"), vars(module))  # as a replica would
    finally:
        del sys.modules["taken_apart"]
    return vars(module)


@pytest.fixture
def cells() -> Iterator[Any]:
    """Runs texts as a notebook runs its cells."""
    main = types.ModuleType("notebook")
    sys.modules["notebook"] = main

    def cell(text: str) -> dict[str, Any]:
        name = f"<cell {len(linecache.cache)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(main))
        return vars(main)

    yield cell
    del sys.modules["notebook"]


def test_a_class_comes_with_what_it_needs_and_with_nothing_else() -> None:
    code = code_of_class(PythonPredictor)
    made = run(code)["PythonPredictor"]({})
    assert made.predict("<a>no 12</a>") == ["PythonPredictor:aa", "one", 2, "12"]
    assert "pytest" not in code
    assert "Needing" not in code
    assert code == code_of_class(PythonPredictor)


def test_what_cannot_be_taken_is_named() -> None:
    with pytest.raises(HandrailError, match="'OTHER' is a object, which cannot be taken along"):
        code_of_class(Needing)


def test_a_name_inside_a_function_is_not_one_outside() -> None:
    assert run(code_of_class(Unrelated))["Unrelated"]().predict() == "its own"


def test_cells_of_a_notebook_are_taken(cells: Any) -> None:
    cells("import json\nLIMIT = 3\n")
    cells("def shortened(text):\n    return text[:LIMIT]\n")
    body = "    def predict(self, payload):\n        return json.dumps(shortened(payload))\n"
    cells("1 / 1\nclass PythonPredictor:\n" + body)
    found = cells("LIMIT = 2\n")
    made = run(code_of_class(found["PythonPredictor"]))["PythonPredictor"]()
    assert made.predict("abc") == '"ab"'


def test_a_class_without_source_is_refused() -> None:
    made = type("PythonPredictor", (), {"__module__": "nowhere"})
    with pytest.raises(HandrailError, match="has no source to be found"):
        code_of_class(made)


def test_a_class_inside_a_function_is_refused() -> None:
    class Inner:
        def predict(self) -> int:
            return 1

    with pytest.raises(HandrailError, match="'Inner' is made inside something else"):
        code_of_class(Inner)


def test_an_object_is_no_class() -> None:
    with pytest.raises(HandrailError, match="must be a class, received Unrelated"):
        code_of_class(Unrelated())  # type: ignore[arg-type]


def test_code_in_a_file_beside_it_comes_along_and_a_whole_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "beside_it.py").write_text("FACTOR = 3\n\ndef times(number):\n    return number * FACTOR\n")
    body = "class PythonPredictor:\n    def predict(self, payload):\n        return {}(payload)\n"
    (tmp_path / "with_names.py").write_text("from beside_it import times as by\n\n" + body.format("by"))
    (tmp_path / "with_modules.py").write_text("import beside_it\n\n" + body.format("beside_it.times"))
    import beside_it  # noqa: F401
    import with_modules
    import with_names

    assert run(code_of_class(with_names.PythonPredictor))["PythonPredictor"]().predict(2) == 6
    with pytest.raises(HandrailError, match="'beside_it' is a file of yours"):
        code_of_class(with_modules.PythonPredictor)
    for name in ("beside_it", "with_names", "with_modules"):
        del sys.modules[name]
