"""Options that several verbs share, and readers of their values that say what was expected."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handrail.core.errors import HandrailError, clipped, closest
from handrail.faces.cli import unknown_command

if TYPE_CHECKING:
    from handrail.model import Model
    from handrail.store import Store

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Reader = Callable[[str, str], Any]


def shared(function: Decorated) -> Decorated:
    """`--json` and `--debug`, which every verb takes."""
    with_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    debug = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
    return with_json(debug(function))


def once(*names: str, read: Reader | None = None, **settings: Any) -> Callable[[Decorated], Decorated]:
    """An option that may be given once: given twice, one of the two values would be lost without a word."""

    def only(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
        option = next(name for name in names if name.startswith("--"))
        if len(values) > 1:
            raise HandrailError("usage", f"{option} is given twice", "give it once", field=option.strip("-"))
        if not values:
            return None
        return read(option, values[0]) if read else values[0]

    return click.option(*names, multiple=True, callback=only, **settings)


def seconds(option: str, text: str) -> float:
    """60, 60s, 5m, 1h → seconds."""
    from handrail.core.values import to_seconds

    value = to_seconds(text)
    if not 1.0 <= value <= 30 * 24 * 3600:
        raise _off(option, "1s to 30 days", text, "60s, 5m or 1h")
    return value


def moments(option: str, text: str) -> float:
    """5ms, 0.5s, 30s → seconds."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)", text.strip(), re.ASCII)
    value = -1.0 if found is None else float(found[1]) / (1000 if found[2] == "ms" else 1)
    if not 0 <= value <= 3600:
        raise _off(option, "0ms to 3600s", text, "5ms or 30s")
    return value


def whole(low: int, high: int, example: str) -> Reader:
    """A reader of whole numbers in a range."""

    def read(option: str, text: str) -> int:
        if re.fullmatch(r"-?\d{1,18}", text.strip(), re.ASCII) is None or not low <= int(text) <= high:
            raise _off(option, f"a whole number from {low} to {high}", text, example)
        return int(text)

    return read


def share(option: str, text: str) -> float:
    """A share from 0 to 0.9."""
    if re.fullmatch(r"0?\.\d{1,6}|0", text.strip(), re.ASCII) is None or not 0 <= float(text) <= 0.9:
        raise _off(option, "a share from 0 to 0.9", text, "0.2")
    return float(text)


def opened(reference: str) -> Model:
    """The model that a command names, or the one in a bundle's folder."""
    from handrail.model import load

    return load(reference_of(reference))


def writable(option: str) -> Path:
    """The path of a file that can be written. Raises HandrailError before the work that it is for."""
    path = Path(option)
    if "\0" in option or not path.parent.is_dir():
        problem, mend = f"there is no folder '{path.parent}'", f"mkdir -p {shlex.quote(str(path.parent))}"
        raise HandrailError("environment", problem, mend, where=option)
    return path


def opened_store() -> Store:
    """The user's store; what it had to mend is said on stderr."""
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.store import Store

    return Store(tell=tell_plainly)


def reference_of(text: str) -> str | Path:
    """A folder that holds a bundle is taken as one; anything else must be a model's name."""
    from handrail.core.bundle import MANIFEST
    from handrail.store import split_reference

    if "\0" not in text and ("/" in text or text.startswith(".")):
        if Path(text, MANIFEST).is_file():
            return Path(text)
        if near := closest(Path(text).name, bundles_beside(Path(text))):
            problem = f"there is no model in the folder '{clipped(text)}'"
            raise HandrailError("usage", problem, f"did you mean '{Path(text).parent / near}'?")
    split_reference(text)
    return text


def bundles_beside(path: Path) -> list[str]:
    """The names of the bundles in the folder where one was looked for."""
    from handrail.core.bundle import MANIFEST

    with contextlib.suppress(OSError):
        return [item.parent.name for item in path.parent.glob(f"*/{MANIFEST}")]
    return []


def _off(option: str, wanted: str, received: str, example: str) -> HandrailError:
    shown = received if len(received) <= 60 else received[:59] + "…"
    return HandrailError(
        "usage", f"{option} must be {wanted}, received '{shown}'", f"for example {option} {example}",
        field=option.strip("-"),
    )  # fmt: skip


def tls_files(certificate: str | None, key: str | None) -> tuple[Path, Path] | None:
    """The files of a certificate and its key; None where neither is given. Raises HandrailError for one alone."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        given, other = ("--tls-cert", "--tls-key") if key is None else ("--tls-key", "--tls-cert")
        raise HandrailError(
            "usage", f"{given} is of no use without {other}", f"add {other} FILE", field=other.strip("-")
        )
    return Path(certificate), Path(key)


class Words(click.Group):
    """The words of a command that has several; one that is none is named with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            raise unknown_command(args[0], list(self.commands))
        return super().resolve_command(ctx, args)
