"""`handrail logs`: what the replicas of an API write, merged by time."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from handrail.core.errors import HandrailError, clipped
from handrail.faces.cli.options import once, shared, whole
from handrail.faces.cli.printing import coloured, one_line, put_json, say

if TYPE_CHECKING:
    from handrail.deployments.logs import Line, Logs

LOOK_EVERY_S = 0.2
LINES = 100
COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)


@click.command("logs", epilog="Example: handrail logs reviews --follow")
@click.argument("name", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@once("--lines", "-n", read=whole(0, 1_000_000, "100"), metavar="LINES", help="How many of the newest (default 100).")
@shared
def command(name: str | None, follow: bool, lines: int | None, as_json: bool) -> None:
    """Show what the replicas of NAME (or of one version: NAME@3) wrote, oldest first; without NAME: the engine.

    With --json and --follow each line is an object of its own.
    """
    from handrail.deployments.acts import place_of
    from handrail.deployments.logs import Logs, folder_of

    place = place_of(None)
    api, version = (None, place.engine_log.stem) if name is None else _parted(name)
    folder = place.logs if api is None else folder_of(place.logs, api)
    drawing = Drawing(api)
    with contextlib.closing(Logs(folder, version)) as logs:
        found = logs.newest(LINES if lines is None else lines)
        if as_json and not follow:
            put_json({"api": api, "lines": [asdict(line) for line in found]})
            return
        _put(found, drawing, as_json)
        if not found:
            say(f"nothing is written yet by {name or 'the engine'}")
        if follow:
            _follow(logs, drawing, as_json)


def _parted(name: str) -> tuple[str, str | None]:
    api, _, version = name.partition("@")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", api) or not re.fullmatch(r"\d{0,9}", version):
        raise HandrailError("usage", f"'{clipped(name)}' is no API", "an API, or a version: handrail logs reviews@3")
    return api, version or None


def _follow(logs: Logs, drawing: Drawing, as_json: bool) -> None:
    try:
        while True:
            found = logs.added()
            _put(found, drawing, as_json)
            if not found:
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        return


def _put(lines: Sequence[Line], drawing: Drawing, as_json: bool) -> None:
    for line in lines:
        if as_json:
            put_json(asdict(line))
        else:
            print(drawing.drawn(line))
    sys.stdout.flush()


class Drawing:
    """Lines as people read them: each replica in a colour of its own on a terminal, as plain text elsewhere.

    `api` None: lines of the engine, which say themselves when they were written.
    """

    def __init__(self, api: str | None) -> None:
        self._api = api
        self._in_colour = coloured(sys.stdout)
        self._on_terminal = sys.stdout.isatty()
        self._colours: dict[str, int] = {}
        self._width = 0

    def drawn(self, line: Line) -> str:
        if self._api is None:
            return one_line(line.text)
        replica = f"{self._api}@{line.version}/{line.pid}"
        self._width = max(self._width, len(replica))
        front = f"{replica:<{self._width}} │"
        if self._in_colour:
            colour = self._colours.setdefault(replica, COLOURS[len(self._colours) % len(COLOURS)])
            front = f"\033[{colour}m{front}\033[0m"
        return f"{front} {self._when(line.at)} {one_line(line.text)}".rstrip()

    def _when(self, at: str) -> str:
        """On a terminal the time of day here, with the day where that is not today; elsewhere as the log has it."""
        if not self._on_terminal:
            return at
        try:
            moment = datetime.fromisoformat(at).astimezone()
        except ValueError:
            return at
        today = moment.date() == datetime.now().astimezone().date()
        return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M:%S}"
