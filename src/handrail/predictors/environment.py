"""Packages that a project asks for, in an environment of their own: made once for the same list, then kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import site
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError, clipped
from handrail.core.files import disk_errors, read_limited, remove_folder, write_text
from handrail.core.locks import taken
from handrail.predictors.project import code_of
from handrail.predictors.settings import read_settings

USUAL: Final = "requirements.txt"
# Written last: a folder without it is half built.
WHOLE: Final = "handrail.txt"
PATH_FILE: Final = "handrail.pth"
SOURCES: Final = "project"
FOLDER: Final = "environments"
MAX_REQUIREMENTS_BYTES: Final = 2**20
UNUSED_S: Final = 30 * 24 * 3600.0
TIMEOUT_S: Final = 3600.0
NOT_RUN: Final = {
    "dependencies.sh": "dependencies.sh is not run: install what it installs on this machine yourself",
    "conda-packages.txt": "conda-packages.txt is not read: name the packages in requirements.txt",
}
# How a line begins that names something in the project, not in the package index.
LOCAL: Final = (".", "/", "-e", "-r", "-c", "--editable", "--requirement", "--constraint", "file:")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Environment:
    """The interpreter that runs a predictor, and what its owner should know."""

    python: str
    notes: tuple[str, ...] = ()


def environment_of(
    snapshot: Path, home: Path, say: Say = lambda line: None, timeout_s: float = TIMEOUT_S
) -> Environment:
    """The environment of a project's snapshot, made where it is not there yet; ours, where it asks for no packages.

    `say` gets what is done, line by line. Raises HandrailError when pip cannot install what is asked for.
    """
    code = code_of(snapshot)
    notes = tuple(note for name, note in NOT_RUN.items() if (code / name).is_file())
    requirements = _requirements(code, read_settings(snapshot).requirements)
    if requirements is None:
        return Environment(sys.executable, notes)
    folder = home / FOLDER / _named(requirements, snapshot)
    with _locked(folder, say):
        if (folder / WHOLE).is_file():
            os.utime(folder / WHOLE)  # it is used: see `sweep_environments`
        else:
            wanted = read_limited(requirements, MAX_REQUIREMENTS_BYTES)
            _make(folder, code, requirements.relative_to(code), _is_local(wanted), say, timeout_s)
            write_text(folder / WHOLE, wanted.decode("utf-8", "replace"))
    return Environment(str(_python(folder)), notes)


def sweep_environments(home: Path, snapshots: Iterable[Path], unused_s: float = UNUSED_S) -> list[str]:
    """Removes environments that no snapshot of these asks for, and nobody has asked for in `unused_s`; gives their
    names. One that is being made or taken is left alone."""
    try:
        found = [path for path in (home / FOLDER).iterdir() if path.is_dir()]
    except OSError:
        return []
    wanted = {name for snapshot in snapshots if (name := _name_of(snapshot))}
    gone = [path for path in found if path.name not in wanted and time.time() - _used(path) > unused_s]
    return [path.name for path in gone if _removed(path)]


def _name_of(snapshot: Path) -> str:
    """The name of the environment that a snapshot asks for; nothing where it asks for none, or cannot be read."""
    try:
        code = code_of(snapshot)
        requirements = _requirements(code, read_settings(snapshot).requirements)
        return "" if requirements is None else _named(requirements, snapshot)
    except (HandrailError, OSError):
        return ""


def _named(requirements: Path, snapshot: Path) -> str:
    wanted = read_limited(requirements, MAX_REQUIREMENTS_BYTES)
    return _key(wanted, requirements, snapshot.name if _is_local(wanted) else "")


def _used(folder: Path) -> float:
    for path in (folder / WHOLE, folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return time.time()


def _removed(folder: Path) -> bool:
    lock = folder.with_suffix(".lock")
    try:
        with lock.open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_folder(folder)
    except (OSError, HandrailError):
        return False
    return True


def _requirements(code: Path, given: str | None) -> Path | None:
    """The file that names packages; None where none are named."""
    path = code / (given or USUAL)
    if not path.is_file():
        if given is None:
            return None
        raise HandrailError(
            "data", f"the project has no file '{clipped(given)}'", "check the path", field="requirements"
        )
    lines = read_limited(path, MAX_REQUIREMENTS_BYTES).decode("utf-8", "replace").splitlines()
    return path if any(line.strip() and not line.strip().startswith("#") for line in lines) else None


def _is_local(wanted: bytes) -> bool:
    lines = [line.strip() for line in wanted.decode("utf-8", "replace").splitlines()]
    return any(
        line.startswith(LOCAL) or (line.endswith((".whl", ".gz", ".zip")) and "://" not in line) for line in lines
    )


def _key(wanted: bytes, requirements: Path, project: str) -> str:
    """What tells environments apart: the packages, the Python, and where our own are."""
    config = requirements.with_name("pip.conf")
    told = [
        wanted, config.read_bytes() if config.is_file() else b"", project.encode(), platform.python_version().encode(),
        sys.prefix.encode(), *(path.encode() for path in _our_folders()),
    ]  # fmt: skip
    return hashlib.sha256(b"\0".join(told)).hexdigest()[:32]


@contextlib.contextmanager
def _locked(folder: Path, say: Say) -> Iterator[None]:
    """Two deploys that want the same environment make it once; the lock ends with its process."""
    path = folder.with_suffix(".lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not taken(descriptor):
            say("waiting: another process installs the same packages")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# Making one.


def _make(folder: Path, code: Path, requirements: Path, is_local: bool, say: Say, timeout_s: float) -> None:
    """At its final place, because scripts in it name their interpreter by its path."""
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making an environment for {requirements}")
    run = _Run(say, timeout_s, _variables(code, requirements))
    done = False
    try:
        run.check([sys.executable, "-m", "venv", str(folder)], code, "a virtual environment cannot be made", _no_venv())
        cwd = _sources(code, folder) if is_local else code
        install = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
        mend = f"mend {requirements}; to see it alone: pip install -r {requirements}"
        problem = f"pip cannot install {requirements}"
        run.check([str(_python(folder)), *install, "-r", str(requirements)], cwd, problem, mend)
        # Added after pip was done, so that it installed all that was asked for, and not what happens to be here.
        _see_ours(folder)
        mend = "ask for versions that go with Handrail's own numpy and orjson, or for none"
        problem = "Handrail does not start with these packages"
        run.check([str(_python(folder)), "-P", "-c", "import handrail.serve.predictor_replica"], code, problem, mend)
        done = True
    finally:
        if not done:
            shutil.rmtree(folder, ignore_errors=True)


def _no_venv() -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return f"install the venv module (on Debian: apt install {version}-venv), or remove requirements.txt"


def _variables(code: Path, requirements: Path) -> dict[str, str]:
    """pip reads a pip.conf beside the requirements, as it did in Cortex; our own paths are none of its business."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    config = (code / requirements).with_name("pip.conf")
    return {**kept, "PIP_CONFIG_FILE": str(config)} if config.is_file() else kept


def _sources(code: Path, folder: Path) -> Path:
    """A copy of the project that pip may build in, kept because packages may be installed as links to it."""
    copy = folder / SOURCES
    with disk_errors(copy):
        shutil.copytree(code, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
    return copy


def _see_ours(folder: Path) -> None:
    """Lets it import Handrail and what that needs; packages of its own come first."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    lines = [f"import site; site.addsitedir({path!r})" for path in _our_folders()]
    write_text(folder / "lib" / version / "site-packages" / PATH_FILE, "\n".join(lines) + "\n")


def _our_folders() -> list[str]:
    """Where Handrail and its packages are: the site folders of this Python, and its source where it runs from there."""
    source = str(Path(__file__).resolve().parents[2])
    found = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else []), source]
    return [path for path in dict.fromkeys(found) if Path(path).is_dir()]


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


@dataclass(frozen=True)
class _Run:
    """Runs programs; what they print is told as it comes."""

    say: Say
    timeout_s: float
    variables: Mapping[str, str]

    def check(self, command: list[str], cwd: Path, problem: str, mend: str) -> None:
        """Raises HandrailError with the last thing that it said when it fails, or takes too long."""
        last: deque[str] = deque(maxlen=200)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list
            command, cwd=cwd, env=dict(self.variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        late = threading.Timer(self.timeout_s, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    last.append(line.rstrip())
                    self.say(line.rstrip())
            status = process.wait()
        finally:
            late.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
        if status:
            raise HandrailError("environment", f"{problem}: {_reason(last, status, self.timeout_s)}", mend)


def _reason(lines: deque[str], status: int, timeout_s: float) -> str:
    """The line that says most: pip's own errors, else the last one."""
    if status == -9:
        return f"it took longer than {timeout_s:g} s"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    said = [line for line in lines if line.strip()]
    return clipped((errors or said or [f"exit status {status}"])[0 if errors else -1], 300)
