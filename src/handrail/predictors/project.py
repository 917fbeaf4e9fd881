"""A project folder as it is now, copied into a folder that is named by what is in it and never changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from handrail.core.errors import HandrailError, clipped, listed
from handrail.core.files import disk_errors, drafted_folder, publish_folder, read_limited
from handrail.predictors.dotenv import variables_of
from handrail.predictors.ignoring import Rule, leaves_out, rules_of
from handrail.predictors.managed import checked_models, model_folders
from handrail.predictors.settings import Settings, as_bytes, settings_of, write_settings

CODE: Final = "project"
CONFIG_FILES: Final = ("handrail.yaml", "handrail.yml", "cortex.yaml", "cortex.yml")
IGNORE_FILES: Final = (".cortexignore", ".handrailignore")
BYTECODE: Final = (".pyc", ".pyo", ".pyd")
MAX_FILES: Final = 10_000
MAX_BYTES: Final = 2 * 2**30
MAX_TEXT_BYTES: Final = 2**20
MAX_DEPTH: Final = 64
SMALLER: Final = "name what is not needed in .cortexignore (lines as in .gitignore)"


@dataclass(frozen=True)
class Shipped:
    """One file of a project: where it is, and its name in the copy."""

    name: str
    path: Path
    size: int
    executable: bool


def snapshot(
    project: Path, into: Path, spec: Mapping[str, Any], *, leave_out: Sequence[str] = CONFIG_FILES,
) -> Path:  # fmt: skip
    """The folder in `into` that holds a copy of the project and its settings; the one that is there if nothing changed.

    `spec` is `ApiSpec.as_dict()`. The copy holds all files of the project but bytecode, names that start with a dot,
    virtual environments, `leave_out`, what an ignore file names, and the models that are loaded by name (they stay
    where they are, so that new ones are seen). Raises HandrailError for what cannot be shipped or could not run.
    """
    project = project.absolute()
    if not project.is_dir():
        raise HandrailError("data", "there is no such project folder", "check the path", where=str(project))
    settings = _settings(project, spec)
    files = list(_files(project, leave_out, model_folders(settings.models)))
    _refuse_missing(settings, files)
    final = into / _digest(files, settings)
    if not final.exists():
        _private(into)
        _copy(files, final, settings)
    _protect(files, code_of(final))
    return final


def code_of(folder: Path) -> Path:
    """Where the files of a snapshot are."""
    return folder / CODE


def _settings(project: Path, spec: Mapping[str, Any]) -> Settings:
    settings = settings_of(spec)
    if settings.type == "tensorflow":
        problem = "a TensorFlowPredictor needs TensorFlow Serving, which is not here"
        mend = (
            "export the model to ONNX (python -m tf2onnx.convert --saved-model FOLDER --output model.onnx), type: onnx"
        )
        raise HandrailError("data", problem, mend, field="type")
    env = {**settings.env, **_dotenv(project)}
    return replace(settings, env=env, models=checked_models(project, settings.models))


def _dotenv(project: Path) -> dict[str, str]:
    path = project / ".env"
    return variables_of(_text(path), str(path)) if path.is_file() else {}


def _text(path: Path) -> str:
    try:
        return read_limited(path, MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise HandrailError("data", "it is not UTF-8", "save it as UTF-8", where=str(path)) from None


# Which files.


def _files(project: Path, leave_out: Sequence[str], apart: Sequence[Path]) -> Iterator[Shipped]:
    """The files of a project, in a fixed order. Raises HandrailError when they are too many or too large."""
    rules = tuple(
        rule for name in IGNORE_FILES if (project / name).is_file() for rule in rules_of(_text(project / name))
    )
    largest: list[tuple[int, str]] = []
    total = 0
    found = _walk(project, _Walk(project, rules, frozenset(leave_out), frozenset(apart)), ())
    for count, file in enumerate(found, 1):
        total += file.size
        largest = sorted([*largest, (file.size, file.name)], reverse=True)[:3]
        if count > MAX_FILES:
            problem = f"the project holds more than {MAX_FILES:,} files"
            raise HandrailError("too_large", problem, SMALLER, where=str(project))
        if total > MAX_BYTES:
            seen = listed(f"{name} ({size / 2**20:,.0f} MB)" for size, name in largest)
            problem = f"the project is larger than {MAX_BYTES / 2**30:g} GB; the largest: {seen}"
            raise HandrailError("too_large", problem, SMALLER, where=str(project))
        yield file


@dataclass(frozen=True)
class _Walk:
    project: Path
    rules: tuple[Rule, ...]
    leave_out: frozenset[str]
    apart: frozenset[Path]

    def wants(self, name: str, path: Path, *, is_folder: bool) -> bool:
        if PurePosixPath(name).name.startswith(".") or name in self.leave_out or path in self.apart:
            return False
        if leaves_out(self.rules, name, is_folder=is_folder):
            return False
        return not (is_folder and (path / "pyvenv.cfg").exists()) and not name.lower().endswith(BYTECODE)


def _walk(folder: Path, walk: _Walk, above: tuple[Path, ...]) -> Iterator[Shipped]:
    here = folder.resolve()
    if here in above or len(above) > MAX_DEPTH:
        raise HandrailError("data", "folders inside each other without end", SMALLER, where=str(folder))
    with disk_errors(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        name = path.relative_to(walk.project).as_posix()
        is_folder = path.is_dir()
        if not walk.wants(name, path, is_folder=is_folder):
            continue
        if path.is_symlink():
            _refuse_outside(path, walk.project)
        if is_folder:
            yield from _walk(path, walk, (*above, here))
        else:
            yield _shipped(name, path)


def _refuse_outside(path: Path, project: Path) -> None:
    try:
        inside = path.resolve(strict=True).is_relative_to(project.resolve())
    except (OSError, RuntimeError):
        problem = "a link that leads nowhere"
        raise HandrailError("data", problem, "remove it, or name it in .cortexignore", where=str(path)) from None
    if not inside:
        problem = "a link that leads out of the project"
        raise HandrailError(
            "data", problem, "copy the file into the project, or name it in .cortexignore", where=str(path)
        )


def _shipped(name: str, path: Path) -> Shipped:
    with disk_errors(path):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise HandrailError("data", "neither a file nor a folder", "name it in .cortexignore", where=str(path))
    return Shipped(name, path, found.st_size, bool(found.st_mode & 0o100))


def _refuse_missing(settings: Settings, files: Sequence[Shipped]) -> None:
    names = {file.name for file in files}
    if PurePosixPath(settings.path).as_posix().removeprefix("./") not in names:
        sources = [name for name in sorted(names) if name.endswith(".py")]
        mend = f"there is {listed(sources)}" if sources else "put the file beside the configuration"
        raise HandrailError("data", f"the project has no file '{clipped(settings.path)}'", mend, field="path")
    below = (settings.python_path or "").strip("./")
    if below and not any(name.startswith(f"{below}/") for name in names):
        problem = f"the project has no folder '{clipped(settings.python_path or '')}'"
        raise HandrailError("data", problem, "name a folder in the project", field="python_path")


# The copy.


def _digest(files: Sequence[Shipped], settings: Settings) -> str:
    """Which project this is: names, modes and contents of its files, and the settings."""
    found = hashlib.sha256(as_bytes(settings))
    for file in files:
        name = os.fsencode(file.name)
        found.update(b"%d %s %d %s\n" % (len(name), name, file.executable, _sha256(file.path).encode()))
    return found.hexdigest()[:32]


def _sha256(path: Path) -> str:
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(files: Sequence[Shipped], final: Path, settings: Settings) -> None:
    with drafted_folder(final.parent) as draft:
        copied = [_copied(file, code_of(draft) / file.name) for file in files]
        if _digest(copied, settings) != final.name:
            raise HandrailError("conflict", "the project changed while it was read", "try again", where=str(final))
        write_settings(draft, settings)
        try:
            publish_folder(draft, final)
        except HandrailError as error:
            if error.code != "conflict":  # two deploys of one project make one folder: the first one's will do
                raise


def _copied(file: Shipped, target: Path) -> Shipped:
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
    return replace(file, path=target)


def _protect(files: Sequence[Shipped], code: Path) -> None:
    """Nobody writes there by accident, and what could be run can be run."""
    with disk_errors(code):
        for file in files:
            (code / file.name).chmod(0o555 if file.executable else 0o444)


def _private(folder: Path) -> None:
    """Makes a folder that others cannot look into: settings hold secrets."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
