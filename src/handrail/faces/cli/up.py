"""`handrail up`: starts the engine with all that is deployed, now or with every start of the machine."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, shared, tls_files, whole
from handrail.faces.cli.printing import put, put_json, say

# How long APIs are waited for that are started again.
PATIENCE_S = 10.0
LOOK_S = 0.02
UNIT = """\
# Written by `handrail up --install`. It starts what is deployed whenever this user's services start.
[Unit]
Description=Handrail: prediction APIs

[Service]
Type=oneshot
RemainAfterExit=yes
Environment={home}
ExecStart={up}
ExecStop={down}
TimeoutStopSec=90

[Install]
WantedBy=default.target
"""


@click.command("up", epilog="Example: handrail up --install")
@once("--host", metavar="HOST", help="The address to listen on (default: as before, else 127.0.0.1).")
@once("--port", read=whole(0, 65_535, "8080"), metavar="PORT", help="The port (default: as before, else 8080).")
@once("--tls-cert", metavar="FILE", help="Speak HTTPS with this certificate and its chain (PEM), from now on.")
@once("--tls-key", metavar="FILE", help="The certificate's private key (PEM).")
@click.option("--install", is_flag=True, help="Write a service of systemd, so that it starts with the machine.")
@shared
def command(
    host: str | None, port: int | None, tls_cert: str | None, tls_key: str | None, install: bool, as_json: bool
) -> None:
    """Start the engine, and with it all that is deployed. It survives the terminal."""
    from handrail.deployments import up
    from handrail.faces.cli.drawing import tell_plainly

    tls = tls_files(tls_cert, tls_key)
    if install:
        files = [] if tls is None else ["--tls-cert", str(tls[0].resolve()), "--tls-key", str(tls[1].resolve())]
        _install([*(["--host", host] if host else []), *(["--port", str(port)] if port is not None else []), *files],
                 as_json)  # fmt: skip
        return
    answer, ran = up(host=host, port=port, tls=tls, tell=tell_plainly)
    if not ran:
        answer = _settled(answer)
    if as_json:
        put_json({"changed": not ran, **answer})
        return
    names = ", ".join(api["name"] for api in answer["apis"]) or "nothing is deployed yet"
    put(f"the engine {'runs already' if ran else 'is up'} at {answer['url']}: {names}")


def _settled(answer: dict[str, Any]) -> dict[str, Any]:
    """How things stand once the engine has brought back what it can, or does so for too long to wait for it."""
    from handrail.deployments import status
    from handrail.store.deployments import Deployments
    from handrail.store.home import default_home

    kept, end = set(Deployments(default_home()).apis()), time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if kept <= {api["name"] for api in answer["apis"] if api["state"] != "starting"}:
            break
        time.sleep(LOOK_S)
        answer = status()
    return answer


def _install(options: list[str], as_json: bool) -> None:
    from handrail.core.files import write_text
    from handrail.store.home import default_home

    path = _unit_folder() / "handrail.service"
    text = unit(default_home(), options)
    changed = not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text
    if changed:
        write_text(path, text)
    commands = ["systemctl --user enable --now handrail", "loginctl enable-linger"]
    if as_json:
        put_json({"changed": changed, "unit": str(path), "commands": commands})
        return
    put(f"{path} {'is written' if changed else 'is as it should be already'}")
    say("to start it now and whenever you log in:   " + commands[0])
    say("to start it before anybody logs in, too:   " + commands[1])


def unit(home: Path, options: list[str]) -> str:
    """The text of the service. Raises HandrailError for a path that cannot stand in one."""
    program = [sys.executable, "-m", "handrail"]
    for word in (str(home), *program, *options):
        if not word.isprintable():
            problem = f"a service file cannot hold the path '{word}'"
            raise HandrailError("environment", problem, "set HANDRAIL_HOME to a folder with a plain name")
    start, stop = ([*program, "up", *options], [*program, "down"])
    return UNIT.format(
        home=_quoted(f"HANDRAIL_HOME={home}"),
        up=" ".join(_quoted(word).replace("$", "$$") for word in start),
        down=" ".join(_quoted(word).replace("$", "$$") for word in stop),
    )


def _quoted(word: str) -> str:
    """A word as systemd reads it: between quotation marks where it needs them, and no percent sign means a setting."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return text if word == shlex.quote(word) else f'"{text}"'


def _unit_folder() -> Path:
    given = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        base = Path(given) if given.startswith("/") else Path.home() / ".config"
    except RuntimeError:
        raise HandrailError("environment", "there is no home directory", "set XDG_CONFIG_HOME to a folder") from None
    return base / "systemd" / "user"
