"""Tells a webhook that something is done: to origins that the operator listed, to addresses that are what they seem."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from handrail.core.errors import HandrailError, clipped
from handrail.jobs.database import Connection, writing

TIMEOUT_S: Final = 5.0
ANSWER_BYTES: Final = 2**16
LONGEST_URL: Final = 2_000
# Seconds before the second, third, … try; then it is given up.
WAITS_S: Final = (1.0, 5.0, 30.0, 300.0, 1800.0)
PORTS: Final = {"http": 80, "https": 443}
HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]")
PATH: Final = re.compile(r"[!-~]*")


@dataclass(frozen=True)
class Address:
    """Where a webhook is. `is_listed_by_number`: the operator's list names this very address, or localhost."""

    scheme: str
    host: str
    port: int
    path: str
    is_listed_by_number: bool


def origin_of(text: str) -> str:
    """`https://example.com:8443` as it stands in a list of origins. Raises HandrailError ("usage")."""
    scheme, host, port, path = _parts(text)
    if path not in ("", "/"):
        raise HandrailError("usage", f"an origin has no path, received '{clipped(text, 60)}'", f"{scheme}://{host}")
    return f"{scheme}://{host}:{port}"


def checked(url: str, origins: Sequence[str]) -> Address:
    """Where that is. Raises HandrailError: "forbidden" for an origin that is not listed, "usage" for what is no URL."""
    scheme, host, port, path = _parts(url)
    if f"{scheme}://{host}:{port}" not in {origin_of(origin) for origin in origins}:
        problem = f"no webhook may be told at '{scheme}://{host}'"
        raise HandrailError("forbidden", problem, "whoever runs the server lists the origins that may", field="webhook")
    return Address(scheme, host, port, path or "/", host == "localhost" or _number(host) is not None)


def post(address: Address, body: bytes, about: str) -> str:
    """Sends it once; "" when it was taken, else why not. Redirects are not followed."""
    try:
        place = _resolved(address)
        with socket.create_connection(place, TIMEOUT_S) as plain:
            wire = _secured(plain, address) if address.scheme == "https" else plain
            with wire:
                return _posted(wire, address, body, about)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return clipped(f"{type(error).__name__}: {error}", 200)


@dataclass(frozen=True)
class Delivery:
    """Something that is to be told."""

    number: int
    about: str
    url: str
    body: bytes
    tries: int


def waiting(database: Connection, most: int) -> list[Delivery]:
    """Deliveries whose time has come, oldest first."""
    found = database.execute(
        "select * from deliveries where state = 'waiting' and next <= ? order by number limit ?", (time.time(), most)
    )
    return [Delivery(row["number"], row["about"], row["url"], row["body"], row["tries"]) for row in found]


def next_try(database: Connection) -> float | None:
    """When the next one is to be tried, in seconds since 1970."""
    found: float | None = database.execute("select min(next) from deliveries where state = 'waiting'").fetchone()[0]
    return found


def tried(database: Connection, delivery: Delivery, said: str) -> None:
    """Remembers how a try went."""
    is_over = not said or delivery.tries >= len(WAITS_S)
    state = ("delivered" if not said else "given up") if is_over else "waiting"
    wait_s = 0.0 if is_over else WAITS_S[delivery.tries]
    with writing(database):
        database.execute(
            "update deliveries set tries = tries + 1, state = ?, said = ?, next = ? where number = ?",
            (state, said, time.time() + wait_s, delivery.number),
        )


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path. What two readers could read in two ways is refused."""
    problem = f"expected https://host/path, received '{clipped(url, 60)}'"
    wrong = HandrailError("usage", problem, "for example https://example.com/done", field="webhook")
    if len(url) > LONGEST_URL or not PATH.fullmatch(url) or "\\" in url or "@" in url or "#" in url:
        raise wrong
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise wrong from None
    host = found.netloc.rpartition(":")[0] if port is not None else found.netloc
    scheme, host = found.scheme.lower(), host.lower()
    if scheme not in PORTS or not HOST.fullmatch(host) or ".." in host:
        raise wrong
    path = found.path + (f"?{found.query}" if found.query else "")
    return scheme, host, port or PORTS[scheme], path


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _resolved(address: Address) -> tuple[str, int]:
    """The one address that is talked to, looked up once: a name that means something else a moment later is of no use.

    Raises OSError for a name that leads to an address that is not public.
    """
    found = socket.getaddrinfo(address.host.strip("[]"), address.port, type=socket.SOCK_STREAM)
    for *_, place in found:
        number = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if address.is_listed_by_number or _is_public(number):
            return str(place[0]), address.port
    raise OSError("it leads to an address that is not public")


def _is_public(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None)
    if inner is not None:
        return _is_public(inner)
    return number.is_global and not number.is_multicast


def _secured(plain: socket.socket, address: Address) -> socket.socket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=address.host.strip("[]"))


def _posted(wire: socket.socket, address: Address, body: bytes, about: str) -> str:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    connection.sock = wire
    usual = address.port == PORTS[address.scheme]
    headers = {
        "host": address.host if usual else f"{address.host}:{address.port}",
        "content-type": "application/json",
        "user-agent": "handrail",
        "idempotency-key": about,
    }
    connection.request("POST", address.path, body, headers)
    answer = connection.getresponse()
    answer.read(ANSWER_BYTES)
    return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
