"""handrail.yaml: the file that says which APIs there are to be, read in full before anything starts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.deploy.cortex import found_in_cortex, is_cortex
from handrail.deploy.opening import Entry, Found, opened, specs_of
from handrail.deploy.reading import Reading, read_value
from handrail.deploy.spec import ApiSpec, Autoscaling, Batching
from handrail.deploy.table import API, OTHER_NAMES
from handrail.deploy.yaml import Document, Node

FILES: Final = ("handrail.yaml", "handrail.yml", "cortex.yaml", "cortex.yml")


def read_file(path: Path) -> list[ApiSpec]:
    """The APIs of a handrail.yaml. Raises HandrailError ("data") that lists all that is off, with line and column."""
    return list(_found(path, opened(path)).specs)


def read_any(path: Path) -> Found:
    """The APIs of a handrail.yaml or a cortex.yaml, or of the one that a folder holds, with what is worth noting."""
    file, note = _file_in(path) if path.is_dir() else (path, None)
    document = opened(file)
    found = found_in_cortex(file, document) if _is_cortex(file, document) else _found(file, document)
    return found if note is None else replace(found, notes=(note, *found.notes))


def _file_in(folder: Path) -> tuple[Path, str | None]:
    """The file that a folder holds, and a note where it holds several."""
    held = [name for name in FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if not held:
        mend = "handrail deploy NAME deploys a model without a file"
        raise HandrailError("data", f"this folder holds no {FILES[0]} and no {FILES[2]}", mend, where=str(folder))
    note = f"{held[0]} is read; {' and '.join(held[1:])} beside it is not" if len(held) > 1 else None
    return folder / held[0], note


def _is_cortex(file: Path, document: Document) -> bool:
    """By its name, else by words that only Cortex has."""
    if file.name.startswith(("handrail", "cortex")):
        return file.name.startswith("cortex")
    return is_cortex(document)


def _found(path: Path, document: Document) -> Found:
    project = path.absolute().parent
    return specs_of(path, document, "handrail", lambda node: _api(node, project))


def _api(node: Node, project: Path) -> Entry:
    reading = Reading(project, OTHER_NAMES)
    values = read_value(API, node, "", reading)
    return Entry(None if values is None else _spec(values, reading), reading, node.place)


def _spec(values: dict[str, Any], reading: Reading) -> ApiSpec:
    values.setdefault("name", _name_of(values.get("model")))
    replicas = values.pop("replicas", None)
    if replicas is not None:
        _refuse_both(reading)
        own = values.get("autoscaling", Autoscaling())
        values["autoscaling"] = replace(own, min_replicas=replicas, max_replicas=replicas)
    if values.get("predictor") is not None:
        _set_batching(values, reading)
    return ApiSpec(**values)


def _name_of(model: str | None) -> str:
    """An API is called as its model is, or as the folder that holds it."""
    if model is None:
        return ""
    return Path(model).name if "/" in model else re.sub("@.*", "", model)


def _refuse_both(reading: Reading) -> None:
    for name in ("min_replicas", "max_replicas", "init_replicas"):
        path = f"autoscaling.{name}"
        if path in reading.places:
            reading.tell(reading.places[path], path, "'replicas' fixes their number already", "keep one of them")


def _set_batching(values: dict[str, Any], reading: Reading) -> None:
    """Code gets one request at a time, unless it says that it takes several."""
    if "batching" in reading.places:
        text = "code of yours is given several requests at once only by predictor.server_side_batching"
        reading.tell(reading.places["batching"], "batching", text, "write it there")
    values["batching"] = values["predictor"].server_side_batching or Batching(max_batch_size=1)
