"""The table of keys as others read it: a JSON Schema for editors, a reference page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, Final

from handrail.deploy import spec
from handrail.deploy.reading import Anything, Choice, Key, Known, ListOf, Named, Section
from handrail.deploy.shapes import Shape
from handrail.deploy.table import API, FILE, WHOLE_FILE

ADDRESS: Final = "handrail.schema.json"
# The value whose fields each section fills, for its defaults.
VALUES: Final = {
    "autoscaling": spec.Autoscaling, "batching": spec.Batching, "limits": spec.ApiLimits, "compute": spec.Compute,
    "update_strategy": spec.UpdateStrategy, "traffic": spec.Share, "monitoring": spec.Monitoring,
    "predictor": spec.Predictor, "models": spec.ModelFiles, "multi_model_reloading": spec.ModelFiles,
    "server_side_batching": spec.Batching, "": spec.ApiSpec,
}  # fmt: skip

HEAD: Final = """\
# handrail.yaml

Written by `python dev/docs.py` from the table of keys in `src/handrail/deploy/table.py`.

A list of APIs. `handrail deploy` reads the whole file before it starts anything, and says everything that is off in it
at once, with line and column. `handrail deploy --dry-run` shows what would be done.

```yaml
# yaml-language-server: $schema=handrail.schema.json
- model: reviews              # answers at http://127.0.0.1:8080/reviews/predict
  replicas: 2

- name: prices
  model: prices@3
  autoscaling: {min_replicas: 0, max_replicas: 4, window: 10s}
  limits: {timeout: 5s}
  compute: {cpu: 500m, mem: 512Mi}
  traffic:
    - {name: prices@4, weight: 10}
    - {name: prices@5, shadow: true}
  monitoring: {sample: 10%, redact: [email]}
```

* **Values** are those of YAML 1.2: `no`, `on` and `0777` are texts. Tags, anchors, aliases, keys given twice, a second
  document, more than 1 MB, 10,000 values or 20 levels are refused. `{{x}}`, `${X}` and `$(x)` are texts like others.
* **Durations** have units: `500ms`, `10s`, `5m`, `1h30m`; a bare number is seconds. **Sizes**: `512Mi`, `2G`.
  **Cores**: `0.5` or `500m`.
* **Paths** begin at the folder of the file. Code and keys are inside it; `model` and `models` may be anywhere.
* **Secrets** do not belong here. What is in `.env` beside the file is in the environment of your code.
* The list may also stand under the one key `apis`.
"""


def json_schema() -> dict[str, Any]:
    """The schema of a handrail.yaml, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ADDRESS,
        "title": "handrail.yaml",
        "anyOf": [_schema(FILE), _schema(WHOLE_FILE)],
        "$defs": {"api": _mapping(API)},
    }


def schema_text() -> str:
    """The same as the file that is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """The page about all keys."""
    parts = [HEAD, *(part for path, section in sections("", API) for part in _page(path, section))]
    return "\n".join(parts)


def sections(path: str, section: Section) -> Iterator[tuple[str, Section]]:
    """A section and all those inside it, each with the path to it."""
    yield path, section
    for key in section.keys:
        inner = key.shape.item if isinstance(key.shape, ListOf) else key.shape
        if isinstance(inner, Section):
            yield from sections(f"{path}.{key.name}" if path else key.name, inner)


def default_of(path: str, key: Key) -> str:
    """What a key is where it is not given, as it would be written; nothing where it has no value then."""
    if key.default or key.is_needed:
        return key.default
    value = VALUES.get(path.rpartition(".")[2])
    found = next((one for one in fields(value) if one.name == key.target), None) if value else None
    if found is None or found.default in (MISSING, None) or not isinstance(key.shape, Shape):
        return ""
    return f"`{key.shape.show(found.default)}`"


def _page(path: str, section: Section) -> Iterator[str]:
    """A heading and a table of keys."""
    if path.startswith("predictor.multi") or path.endswith("server_side_batching"):
        return
    yield f"## {f'`{path}`' if path else 'An API'}\n"
    if section.says:
        yield section.says + "\n"
    yield "| key | what it is | expected | default |\n|---|---|---|---|"
    yield "\n".join(_row(path, key) for key in section.keys) + "\n"


def _row(path: str, key: Key) -> str:
    default = "needed" if key.is_needed else default_of(path, key)
    cells = [f"`{key.name}`", key.says, _words(path, key.shape, key.name), default]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _words(path: str, shape: Known, name: str) -> str:
    """What is expected, with an example; a section is a link to its table."""
    if isinstance(shape, Shape):
        words = shape.words.partition(" (")[0]
        return words if shape.example in words or "enum" in shape.schema else f"{words}, such as `{shape.example}`"
    inner = shape.item if isinstance(shape, ListOf) else shape
    if not isinstance(inner, Section):
        return shape.words
    target = {"multi_model_reloading": "predictormodels", "server_side_batching": "batching"}.get(name)
    anchor = target or f"{path}{name}".replace(".", "")
    return f"[{'a list of mappings' if isinstance(shape, ListOf) else 'a mapping'}](#{anchor})"


def _schema(shape: Known) -> dict[str, Any]:
    if isinstance(shape, Shape):
        return dict(shape.schema)
    if isinstance(shape, Section):
        return {"$ref": "#/$defs/api"} if shape is API else _mapping(shape)
    if isinstance(shape, ListOf):
        return {"type": "array", "items": _schema(shape.item), "maxItems": shape.limit}
    if isinstance(shape, Choice):
        return {"anyOf": [_schema(shape.many), _schema(shape.one)]}
    if isinstance(shape, Named):
        names = {"pattern": f"^{shape.names}$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": _schema(shape.item)}
    assert isinstance(shape, Anything)
    return {"type": "object"}


def _mapping(section: Section) -> dict[str, Any]:
    properties = {
        key.name: {**({"description": key.says} if key.says else {}), **_schema(key.shape)} for key in section.keys
    }
    needed = [key.name for key in section.keys if key.is_needed]
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    if section is API:
        found["not"] = {"required": ["model", "predictor"]}
    return {**found, "required": needed} if needed else found
