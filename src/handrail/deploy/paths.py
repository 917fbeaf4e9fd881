"""What the paths of a file lead to: code and keys inside its folder, models anywhere on this machine."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import clipped
from handrail.deploy.problems import one_line, shown
from handrail.deploy.shapes import CONTROL, MAX_TEXT, Shape, line, text

REFERENCE: Final = rf"{MODEL_NAME.pattern}(?:@{MODEL_NAME.pattern})?"
# A folder has a slash in it, so that it is never taken for a name.
MODEL: Final = rf"{REFERENCE}|[^\x00-\x1f\x7f]*/[^\x00-\x1f\x7f]*"
REMOTE: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
# As patterns of JSON Schema: no line ends, and for what lies inside the project no way out of it.
ANY_PATH: Final = r"[^\x00-\x1f\x7f]+"
INSIDE: Final = rf"(?![/~])(?!(?:.*/)?\.\.(?:/|$)){ANY_PATH}"


def project_file(example: str) -> Shape:
    """A file inside the project's folder, as a path from there."""
    return _inside("a file inside the project's folder", example, is_right=_file)


def whole_project_file(example: str) -> Shape:
    """A file inside the project's folder, as its whole path: for those who do not know the project."""
    return _inside("a file inside the project's folder", example, is_right=_file, is_whole=True)


def project_folder(example: str) -> Shape:
    """A folder inside the project's folder, as a path from there."""
    return _inside("a folder inside the project's folder", example, is_right=_folder)


def _inside(words: str, example: str, *, is_right: Callable[[str, Path], None], is_whole: bool = False) -> Shape:
    def found(value: str, project: Path) -> str:
        relative = _relative(value)
        path = project.absolute() / relative
        _refuse_outside(value, path, project)
        is_right(value, path)
        return str(path) if is_whole else relative

    read = line(words, example=example, limit=MAX_TEXT)
    return Shape(words, read.read, {"type": "string", "pattern": f"^{INSIDE}$"}, example, found=found)


def data(example: str) -> Shape:
    """A file or a folder of this machine, wherever it is, as its whole path."""
    read = line("a file or folder of this machine", example=example, limit=MAX_TEXT)
    schema = {"type": "string", "pattern": f"^{ANY_PATH}$"}
    return Shape(read.words, read.read, schema, example, found=lambda value, project: str(place(value, project)))


def data_folder(example: str) -> Shape:
    """A folder of this machine, wherever it is, as its whole path."""

    def found(value: str, project: Path) -> str:
        path = place(value, project)
        if not path.is_dir():
            raise ValueError(f"{shown(value)} is not a folder")
        return str(path)

    read = line("a folder of this machine", example=example, limit=MAX_TEXT)
    return Shape(read.words, read.read, {"type": "string", "pattern": f"^{ANY_PATH}$"}, example, found=found)


def model(words: str, *, example: str) -> Shape:
    """A model of the store as it is named, or the whole path of a folder."""

    def found(value: str, project: Path) -> str:
        return str(folder.found(value, project)) if "/" in value and folder.found else value

    folder, named = data_folder(example), text(MODEL, words, example=example, shows_pattern=False)
    return Shape(words, named.read, named.schema, example, found=found)


def place(value: str, project: Path) -> Path:
    """Where data lies: below the project's folder, ~/ or the root. Raises ValueError where there is nothing."""
    remote = REMOTE.fullmatch(value)
    if remote is not None:
        raise ValueError(_elsewhere(value, remote[1].lower(), remote[2]))
    path = Path(os.path.normpath(project.absolute() / _expanded(value)))
    if not _is_there(path):
        raise ValueError(f"there is nothing at {shown(str(path), 200)}")
    return path


def _elsewhere(value: str, scheme: str, rest: str) -> str:
    """What to type for a model that is not on this machine."""
    name = PurePosixPath(rest.rstrip("/")).name or "mine"
    options = "" if PurePosixPath(name).suffix else {"s3": "--recursive ", "gs": "-r "}.get(scheme, "")
    copy = {"s3": f"aws s3 cp {options}", "gs": f"gsutil cp {options}"}.get(scheme)
    here = shlex.quote(clipped(f"models/{name}", 60))
    how = f"copy it here ({copy}{shlex.quote(clipped(value, 200))} {here})" if copy else "copy it here"
    return one_line(f"{shown(value)} is not on this machine; {how} and write {here}")


def _expanded(value: str) -> str:
    if not value.startswith("~/"):
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError:
        raise ValueError(f"there is no home directory for {shown(value)}") from None


def _relative(value: str) -> str:
    """The path from the project's folder. Raises ValueError where it would lead out of it."""
    if value.startswith(("/", "~")) or REMOTE.match(value) or CONTROL.search(value):
        raise ValueError(f"{shown(value)} is not inside the project's folder; write a path from there")
    relative = os.path.normpath(value)
    if relative.split("/")[0] == ".." or ".." in value.split("/"):
        raise ValueError(f"{shown(value)} leads out of the project's folder; write a path inside it")
    return relative


def _refuse_outside(value: str, path: Path, project: Path) -> None:
    """Raises ValueError where a link on the way leads out of the project."""
    try:
        inside = path.resolve().is_relative_to(project.resolve())
    except (OSError, RuntimeError, ValueError):
        raise ValueError(f"{shown(value)} is a link that leads nowhere") from None
    if not inside:
        raise ValueError(f"{shown(value)} is a link that leads out of the project's folder; copy the file into it")


def _file(value: str, path: Path) -> None:
    if not _is_there(path):
        raise ValueError(f"there is no file {shown(value)} in the project's folder")
    if not path.is_file():
        raise ValueError(f"{shown(value)} is not a file")


def _folder(value: str, path: Path) -> None:
    if not _is_there(path) or not path.is_dir():
        raise ValueError(f"there is no folder {shown(value)} in the project's folder")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a folder that may not be read
        return False
