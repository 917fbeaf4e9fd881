"""Where in the user's code something went wrong, in words: the file, the line, and what to do."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

from handrail.core.errors import HandrailError, clipped

LOG = "handrail logs NAME shows the traceback"


def start_failed(error: BaseException, act: str, project: Path) -> HandrailError:
    """The error for a predictor that did not get ready. `act` says what was being done: "importing it failed"."""
    place = place_of(error, project)
    if isinstance(error, SystemExit):
        mend = "let it raise an exception that says what is missing"
        return HandrailError("data", f"{act}: it called sys.exit({error.code!r})", mend, where=place)
    if isinstance(error, ModuleNotFoundError):
        mend = f"add the package that holds '{error.name}' to requirements.txt"
        return HandrailError("data", f"{act}: {error}", mend, where=place)
    said = clipped(str(error).strip() or "it says no more", 400)
    return HandrailError("data", f"{act}: {type(error).__name__}: {said}", LOG, where=place)


def place_of(error: BaseException, project: Path) -> str | None:
    """`predictor.py line 12`: the innermost line of the project's own; None where none took part."""
    if isinstance(error, SyntaxError) and error.filename and _own(error.filename, project):
        return f"{_own(error.filename, project)} line {error.lineno}"
    found = None
    for file, line in _lines(error.__traceback__):
        if name := _own(file, project):
            found = f"{name} line {line}"
    return found


def place_now(thread: int, project: Path) -> str | None:
    """Where a thread is at this moment, in the project's own lines."""
    frame: FrameType | None = sys._current_frames().get(thread)
    while frame is not None:
        if name := _own(frame.f_code.co_filename, project):
            return f"{name} line {frame.f_lineno}"
        frame = frame.f_back
    return None


def print_traceback(error: BaseException, project: Path) -> None:
    """The traceback in the log, from the user's first line on: the way there is ours and tells nothing."""
    start = error.__traceback__
    while start is not None and not _own(start.tb_frame.f_code.co_filename, project):
        start = start.tb_next
    traceback.print_exception(type(error), error, start or error.__traceback__)


def _lines(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _own(file: str, project: Path) -> str | None:
    """The name of a file inside the project; None for every other."""
    for folder in (project, project.resolve()):
        if file.startswith(f"{folder}/"):
            return file[len(str(folder)) + 1 :]
    return None
