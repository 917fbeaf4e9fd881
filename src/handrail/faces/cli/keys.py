"""`handrail keys`: add, list and remove the keys that servers ask for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import Words, once, shared
from handrail.faces.cli.printing import put, put_json, put_table, say

if TYPE_CHECKING:
    from handrail.serve.keys import Rate


def rate(option: str, text: str) -> Rate:
    """100/s, 600/m, 5000/h."""
    from handrail.serve.keys import rate_from

    try:
        return rate_from(text)
    except ValueError as error:
        mend = f"a count in a second, minute or hour: {option} 100/s"
        raise HandrailError("usage", f"{option}: {error}", mend, field="rate") from None


in_file = once("--keys", "file", metavar="FILE", help="Another file of keys (default: keys.json in HANDRAIL_HOME).")


@click.group("keys", cls=Words, invoke_without_command=True, epilog="Example: handrail keys add website --rate 100/s")
@in_file
@shared
@click.pass_context
def command(context: click.Context, file: str | None, as_json: bool) -> None:
    """Add, list and remove the keys that servers ask for. Without another word: list.

    While there are keys, every server asks for one: authorization: Bearer KEY.
    """
    if context.invoked_subcommand is None:
        put_keys(file, as_json)


@command.command("add", epilog="Example: handrail keys add website --rate 100/s")
@click.argument("name")
@once("--rate", read=rate, metavar="COUNT/s", help="How often it may ask: 100/s, 600/m or 5000/h (default: no limit).")
@in_file
@shared
def add(name: str, rate: Rate | None, file: str | None, as_json: bool) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from handrail.serve.keys import add_key

    key = add_key(_path(file), name, rate)
    if as_json:
        put_json({"name": name, "key": key, "rate": None if rate is None else str(rate)})
        return
    put(key)
    say(f"this is the only time that it is shown; to use it: curl -H 'authorization: Bearer {key}' …")


@command.command("list", epilog="Example: handrail keys list --json")
@in_file
@shared
def list_keys(file: str | None, as_json: bool) -> None:
    """List the names of all keys; the keys themselves are not kept."""
    put_keys(file, as_json)


def put_keys(file: str | None, as_json: bool) -> None:
    """All keys, by name."""
    from handrail.serve.keys import read_keys

    path = _path(file)
    keys = [key.as_dict() for key in read_keys(path)]
    if as_json:
        put_json(
            {"file": str(path), "keys": [{name: key[name] for name in ("name", "rate", "created")} for key in keys]}
        )
    elif not keys:
        put("no keys: servers let everybody in who reaches them, and listen on this machine only")
    else:
        rows = [
            (key["name"], key["rate"] or "no limit", time.strftime("%Y-%m-%d %H:%M", time.localtime(key["created"])))
            for key in keys
        ]
        put_table([("key", "rate", "made"), *rows], header=True)


@command.command("remove", epilog="Example: handrail keys remove website")
@click.argument("name")
@in_file
@shared
def remove(name: str, file: str | None, as_json: bool) -> None:
    """Take a key away; servers that run refuse it a second later."""
    from handrail.serve.keys import remove_key

    remove_key(_path(file), name)
    if as_json:
        put_json({"name": name})
    else:
        put(f"removed '{name}': servers that run refuse it from now on")


def _path(file: str | None) -> Path:
    from handrail.serve.keys import keys_file

    return keys_file() if file is None else Path(file)
