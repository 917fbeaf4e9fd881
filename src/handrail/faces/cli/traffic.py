"""`handrail traffic`: which version answers which part of an API's requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError, clipped
from handrail.faces.cli.acting import percent, put_act
from handrail.faces.cli.options import shared
from handrail.faces.cli.printing import put_json, put_table

if TYPE_CHECKING:
    from handrail.deploy.spec import Share

VERSION = re.compile(r"\d{1,9}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(?:@[a-z0-9][a-z0-9._-]{0,63})?")
HEADER = re.compile(r"header:[A-Za-z0-9-]{1,64}(?:: ?[ -~]{1,200})?")


@click.command("traffic", epilog="Example: handrail traffic reviews 4=10")
@click.argument("name")
@click.argument("shares", nargs=-1, metavar="[VERSION=PERCENT]...")
@shared
def command(name: str, shares: tuple[str, ...], as_json: bool) -> None:
    """Give versions of NAME's model a part of its requests; without any, show who gets what.

    \b
    4=10               version 4 gets 10 % of them; 0 ends that
    4=shadow           it gets copies, and nobody sees its answers
    4=header:x-beta    it gets those that carry this header (or 'x-beta: yes')
    other@2=10         a version of another model; in a TrafficSplitter API=10

    The API's own version gets what is left; versions that are not named get none.
    """
    from handrail.deployments import status, traffic

    api = status(name)["apis"][0]
    model, now = _served(name)
    if not shares:
        put_shares(api, now, as_json)
        return
    wanted = _without_current([share_of(share, model) for share in shares], api, model)
    put_act(
        name,
        lambda tell: traffic(name, wanted, tell=tell),
        "{name}: its requests are shared out anew",
        "{name}: they are shared out so already",
        as_json=as_json,
    )


def put_shares(api: Mapping[str, Any], shares: Sequence[Share], as_json: bool) -> None:
    """Who gets what now."""
    from handrail.faces.cli.standing import named, share_rows

    if as_json:
        put_json({"name": api["name"], "versions": api["versions"], "shares": [asdict(share) for share in shares]})
        return
    headers = {share.name.rpartition("@")[2]: f", those with {share.header}" for share in shares if share.header}
    rows = [
        (named(one), one["role"], f"{one['weight']:g} %{headers.get(one['version'], '')}") for one in api["versions"]
    ]
    put_table([("version", "role", "share"), *(rows or share_rows([asdict(share) for share in shares]))], header=True)


def share_of(text: str, model: str | None) -> Share:
    """`4=10`, `4=shadow`, `4=header:x-beta` as a share. `model`: which one's version a bare number is."""
    from handrail.deploy.spec import Share

    version, equals, part = text.rpartition("=") if ":" not in text else text.partition("=")
    name = f"{model}@{version}" if model and VERSION.fullmatch(version) else version
    if not equals or not NAME.fullmatch(name):
        problem = f"expected a version and its part of the requests, received '{clipped(text)}'"
        raise HandrailError("usage", problem, "4=10 gives version 4 ten of a hundred; see handrail traffic --help")
    if part == "shadow":
        return Share(name, 100.0, shadow=True)
    if part.startswith("header:") and HEADER.fullmatch(part):
        return Share(name, 0.0, header=part.removeprefix("header:"))
    if part in ("0", "0%"):
        return Share(name, 0.0)
    return Share(name, percent(f"{clipped(version)}=", part))


def _served(name: str) -> tuple[str | None, tuple[Share, ...]]:
    """The name of an API's model, None where it has none, and the shares of others."""
    from handrail.deploy.spec import spec_from
    from handrail.store.deployments import Deployments
    from handrail.store.home import default_home

    served = Deployments(default_home()).served(name)
    if served is None:
        return None, ()
    spec = spec_from(served.spec)
    if spec.model is None:
        return None, spec.traffic
    return name if "/" in spec.model else spec.model.partition("@")[0], spec.traffic


def _without_current(shares: Sequence[Share], api: Mapping[str, Any], model: str | None) -> list[Share]:
    """The shares of the others: the current version gets what they leave, so its own must fit to that."""
    current = {f"{model}@{one['version']}" for one in api["versions"] if one["role"] == "current"}
    total = sum(share.weight for share in shares if not share.shadow)
    if total != 100 and any(share.name in current for share in shares):
        problem = f"the shares make {total:g} %"
        raise HandrailError("usage", problem, "they must make 100; or leave out the current version: it gets the rest")
    return [share for share in shares if share.name not in current and (share.weight or share.header)]
