"""One table of keys: what is read, what editors are told, the reference and the specification are in step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from handrail.core.errors import HandrailError
from handrail.deploy import spec
from handrail.deploy.file import read_any
from handrail.deploy.reading import Key, ListOf, Section
from handrail.deploy.schema import ADDRESS, VALUES, json_schema, reference, schema_text, sections
from handrail.deploy.shapes import Shape
from handrail.deploy.table import API
from tests.deploy.files import write

DOCS = Path(__file__).parents[2] / "docs" / "reference"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
# Of every type that YAML has, and at the edges of ranges.
VALUES_OF_ANY_TYPE: tuple[Any, ...] = (None, True, "no such word!", "", -1, 2.5, 10**15, [], [1], {}, {"x": 1}, "a\nb")
# What every mapping needs besides the key that is tried.
NEEDED: dict[str, dict[str, Any]] = {
    "": {"name": "n", "model": "m"},
    "predictor": {"path": "predictor.py"},
    "traffic": {"name": "a", "weight": 1},
    "predictor.models.paths": {"name": "a", "path": "models"},
    "predictor.multi_model_reloading.paths": {"name": "a", "path": "models"},
}


def keys() -> Iterator[tuple[str, Key]]:
    """Every key there is, with the path to it."""
    for path, section in sections("", API):
        for key in section.keys:
            yield f"{path}.{key.name}" if path else key.name, key


def file_with(path: str, value: Any) -> list[dict[str, Any]]:
    """A file in which one key has a value, and the others are right or absent."""
    parts = path.split(".")
    for index in range(len(parts) - 1, -1, -1):
        above = ".".join(parts[:index])
        found = {**NEEDED.get(above, {}), parts[index]: value}
        value = [found] if above.endswith(("traffic", "paths")) else found
    if "predictor" in value:
        value.pop("model")
    return [value]


def named(path: str) -> str:
    """A key as messages name it: items of lists have their index."""
    return path.replace("traffic.", "traffic[0].").replace("paths.", "paths[0].")


def wrong_values() -> Iterator[tuple[str, Any]]:
    """Every value that the schema of a key refuses."""
    for path, key in keys():
        for value in VALUES_OF_ANY_TYPE:
            if not (isinstance(key.shape, ListOf | Section) and isinstance(value, dict)):
                yield from [] if VALIDATOR.is_valid(file_with(path, value)) else [(path, value)]


WRONG = list(wrong_values())


def test_there_are_hundreds_of_wrong_values() -> None:
    assert len(WRONG) >= 200
    assert {path for path, _ in WRONG} == {path for path, _ in keys()}


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{path}={json.dumps(value)}" for path, value in WRONG])
def test_a_wrong_value_is_told_with_its_key_what_is_wanted_and_what_was_got(
    tmp_path: Path, path: str, value: Any
) -> None:  # Y9
    file = write(tmp_path, json.dumps(file_with(path, value)))
    with pytest.raises(HandrailError) as caught:
        read_any(file)
    error = caught.value
    assert named(path) in error.problem
    assert "expected " in error.problem or "is no name here" in error.problem
    assert "received " in error.problem or "is no" in error.problem
    assert "Traceback" not in error.problem


def test_an_editor_complains_of_no_file_that_is_read(tmp_path: Path) -> None:
    for path, key in keys():
        for value in (*VALUES_OF_ANY_TYPE, *examples(key)):
            content = file_with(path, value)
            try:
                read_any(write(tmp_path, json.dumps(content)))
            except HandrailError:
                continue
            assert VALIDATOR.is_valid(content), (path, value)


def test_every_example_is_read(tmp_path: Path) -> None:
    for path, key in keys():
        for value in examples(key):
            content = file_with(path, value)
            assert VALIDATOR.is_valid(content), (path, value)
            if path == "schedule":
                content = [{"name": "n", "kind": "TaskAPI", "predictor": {"path": "task.py"}, "schedule": value}]
            try:
                read_any(write(tmp_path, json.dumps(content)))
            except HandrailError as error:
                assert not error.problem.startswith(f"{named(path)}: expected "), (path, value, error.problem)


def examples(key: Key) -> list[Any]:
    if not isinstance(key.shape, Shape):
        return []
    try:
        return [json.loads(key.shape.example)]
    except ValueError:
        return [key.shape.example]


def test_the_schema_is_a_schema_and_reads_the_example_of_the_reference(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    example = reference().split("```yaml\n")[1].split("```")[0]
    assert [spec.name for spec in read_any(write(tmp_path, example)).specs] == ["reviews", "prices"]
    assert example.startswith(f"# yaml-language-server: $schema={ADDRESS}\n")


def test_the_schema_knows_both_forms_and_no_other_key() -> None:
    assert VALIDATOR.is_valid([{"model": "m"}])
    assert VALIDATOR.is_valid({"apis": [{"model": "m"}]})
    assert not VALIDATOR.is_valid({"apis": [{"model": "m"}], "version": 1})
    assert not VALIDATOR.is_valid([{"model": "m", "replica": 1}])
    assert not VALIDATOR.is_valid([{"model": "m", "predictor": {"path": "p.py"}}])


def test_what_is_published_is_in_step() -> None:
    assert (DOCS / ADDRESS).read_text("utf-8") == schema_text()
    assert (DOCS / "handrail.yaml.md").read_text("utf-8") == reference()


def test_every_field_of_the_specification_has_a_key_and_every_key_a_field() -> None:
    for path, section in sections("", API):
        value = VALUES.get(path.rpartition(".")[2])
        if value is None:
            continue
        targets = {key.target for key in section.keys}
        assert targets - {"replicas"} == {one.name for one in fields(value)} - {"any_port"}, path


def test_every_key_is_explained() -> None:
    page = reference()
    for path, key in keys():
        assert key.says.endswith("."), path
        assert f"| `{key.name}` | {key.says}" in page, path


def test_defaults_in_the_reference_are_those_of_the_specification() -> None:
    rows = {line.split(" | ")[0]: line.split(" | ")[-1] for line in reference().split("\n") if line.startswith("| `")}
    assert rows["| `window`"] == f"`{spec.Autoscaling().window_s:g}s` |"
    assert rows["| `max_surge`"] == f"`{spec.UpdateStrategy().max_surge}` |"
    assert rows["| `max_batch_size`"] == f"`{spec.Batching().max_batch_size}` |"
