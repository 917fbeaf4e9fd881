"""Whatever happens becomes an exit status and, when it went wrong, two lines that say what and what to type."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from handrail.core.errors import HandrailError, closest, listed
from handrail.core.jsons import line_of

TRAINING_PACKAGES = ("sklearn", "lightgbm", "scipy", "onnx", "python_calamine")
PARQUET_PACKAGES = ("pyarrow",)
FINETUNING_PACKAGES = ("torch", "transformers", "safetensors", "charset_normalizer")
BROKEN_PIPE = 141
STREAM_GONE = (errno.EPIPE, errno.EBADF, errno.ENOSPC, errno.EIO)


def of(prepare: Callable[[], click.Context], words: Sequence[str]) -> int:
    """Makes the context, invokes its command, and turns the end of it into a status."""
    debug = _given("--debug", words) or os.environ.get("HANDRAIL_DEBUG", "") not in ("", "0")
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        with prepare() as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return _flushed(int(stop.exit_code))
    except BrokenPipeError:
        return BROKEN_PIPE
    except BaseException as error:  # the last net: from here on everything is a status
        problem = error_of(error, words)
        if debug and problem.code != "interrupted":
            traceback.print_exc()
        return told(problem, as_object=_given("--json", words))
    return 0


def error_of(error: BaseException, words: Sequence[str] = ()) -> HandrailError:
    """What to say of an exception of any kind that a command line of these words ended in."""
    if isinstance(error, HandrailError):
        return error
    if isinstance(error, click.UsageError):
        return _usage(error, words)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return HandrailError("interrupted", "interrupted", "the same command begins again; train goes on where it was")
    if isinstance(error, MemoryError):
        return HandrailError("environment", "not enough memory", "give fewer rows, or use a larger machine")
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name or "")):
        return missing_extra(extra, error.name or "")
    if isinstance(error, OSError) and error.errno in STREAM_GONE:
        problem = f"cannot write the output: {error.strerror}"
        return HandrailError("environment", problem, "give it a place to write to that has space")
    said = f"{type(error).__name__}: {error}"[:200].replace("\n", " ")
    return HandrailError("bug", f"this is our bug: {said}", "run it again with --debug and report what it prints")


def missing_extra(extra: str, package: str) -> HandrailError:
    """The error for a package that comes with an extra and is not there."""
    return HandrailError("environment", f"{package} is not installed", f'pip install "handrail[{extra}]"')


def told(error: HandrailError, *, as_object: bool) -> int:
    """Says an error on stderr, and on stdout as JSON when that was asked for; returns its exit status."""
    place = f" ({error.where})" if error.where else ""
    lines = [f"error: {error.problem}{place}", f"hint: {error.mend}"]
    with contextlib.suppress(OSError, ValueError):
        # Only lines that are indented go on: what a file or a name holds cannot begin one that looks like ours.
        print("\n".join(re.sub(r"\n(?!  )", r"\\n", line) for line in lines), file=sys.stderr, flush=True)
    if as_object:
        with contextlib.suppress(OSError, ValueError):
            print(line_of(error.as_dict()), flush=True)
    return error.exit_status


def with_streams() -> int:
    """Makes the three streams usable whatever the locale is; returns a status when there is no stdout to write to."""
    if sys.stdin is None:
        sys.stdin = _nowhere("r")
    if sys.stderr is None:
        sys.stderr = _nowhere("w")
    if sys.stdout is None:
        return told(HandrailError("environment", "stdout is closed", "give it a place to write to"), as_object=False)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return 0


def leave(status: int) -> NoReturn:
    """Ends the process; what cannot be written any more is dropped without a word."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def _flushed(status: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:
        return told(error_of(error), as_object=False)
    return status


def _usage(error: click.UsageError, words: Sequence[str]) -> HandrailError:
    """Click's complaints in our words."""
    path = error.ctx.command_path if error.ctx else "handrail"
    mend = f"{path} --help"
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error, path, words)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return HandrailError("usage", f"{error.param.human_readable_name} is missing", mend)
    said = error.format_message().rstrip(".")
    return HandrailError("usage", said[:1].lower() + said[1:300], mend)


def _unknown_option(error: click.NoSuchOption, path: str, words: Sequence[str]) -> HandrailError:
    """The nearest option, or how to give a text that begins like one."""
    option = error.option_name
    problem = f"unknown option '{option[:60]}'"
    text = next((word for word in words if word.startswith(option) and (" " in word or word[1:2].isdigit())), None)
    if text is not None and text.isprintable():
        return HandrailError(
            "usage", problem, f"a text that begins with - stands after --: -- {shlex.quote(text[:60])}"
        )
    if error.ctx is not None and error.ctx.parent is None and option == "--json":
        verb = next((word for word in words if not word.startswith("-")), "models")
        return HandrailError("usage", problem, f"--json stands after the verb: {path} {verb[:60]} --json")
    known = [name for item in error.ctx.command.params for name in item.opts] if error.ctx else []
    near = closest(option, known)
    said = f"; did you mean '{near}'?" if near else ""
    shown = listed(sorted(name for name in known if name.startswith("--")), 20)
    return HandrailError("usage", f"{problem}{said}", f"the options: {shown}")


def _extra_of(package: str) -> str | None:
    root = package.split(".", maxsplit=1)[0]
    extras = {"train": TRAINING_PACKAGES, "torch": FINETUNING_PACKAGES, "parquet": PARQUET_PACKAGES}
    return next((extra for extra, packages in extras.items() if root in packages), None)


def _given(option: str, words: Sequence[str]) -> bool:
    before = list(words)[: list(words).index("--")] if "--" in words else words
    return option in before


def _nowhere(mode: str) -> Any:
    return open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123 - it lives as long as the process
