"""Who may ask: keys that were shown, how often each may ask, and the page that asks a browser for one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError
from handrail.report.looks import SCRIPT_HASH
from handrail.serve.exchange import Request, Response
from handrail.serve.keys import PREFIX, Key, Rate, matching, read_keys
from handrail.serve.limits import Refused
from handrail.serve.page import ASSETS, CSS, JS
from handrail.serve.page_writing import JS as WRITING_JS
from handrail.serve.stamps import Stamp, stamp_of

log = logging.getLogger("handrail.serve")

LOOK_S: Final = 1.0
MAX_KNOWN: Final = 1_000


class Bucket:
    """How often one key may ask, by the generic cell rate algorithm. Source: ITU-T Recommendation I.371, annex A.

    All its state is the time until which what was taken is paid for.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._each_s = rate.per_s / rate.count
        self._paid_until = -math.inf

    def take(self, now: float) -> float:
        """Takes one and gives 0, or gives the seconds until there is one to take."""
        begins = max(self._paid_until, now)
        early_s = begins - now - (self.rate.per_s - self._each_s)
        # A billionth: seconds since some start are floats, and sums of them are not exact.
        if early_s > 1e-9:
            return early_s
        self._paid_until = begins + self._each_s
        return 0.0


class Guard:
    """Lets in who shows a key. It asks for one as soon as there are keys, and goes on asking when the last is removed:
    then nobody is let in until the server is started anew. `asks`: it asks in any case.

    The one way to show a key is the header `authorization: Bearer KEY`. Rates hold for each gateway process.
    """

    def __init__(self, path: Path | None = None, *, asks: bool = False) -> None:
        self.asks = asks
        self._path = path
        self._stamp: Stamp = None
        self._keys: tuple[Key, ...] = ()
        self._buckets: dict[str, Bucket] = {}
        # Headers that were right, so that a request costs a look-up instead of a hash. Bytes are compared only where
        # Python's keyed hashes are equal already, so that time tells a guesser nothing.
        self._known: dict[bytes, Bucket | None] = {}
        if path is not None:
            self._stamp = stamp_of(path)
            self._take(read_keys(path))

    def admit(self, request: Request, policy: str | None) -> Response | None:
        """None where the request may go on, a page that asks for the key where a browser has none; `policy` None: no
        such route. Raises Refused (401 or 429)."""
        if not self.asks or policy == "anyone":
            return None
        if request.query and PREFIX.encode() in request.query:
            raise _refused("a key does not belong into an address, where logs keep it", "invalid_request")
        header = request.headers.get(b"authorization", b"")
        try:
            bucket = self._known[header]
        except KeyError:
            if not header and request.wants_html and request.method == "GET":
                return KEY_PAGE
            bucket = self._recognised(header)
        if bucket is not None and (wait_s := bucket.take(request.started)):
            raise _too_often(bucket.rate, wait_s)
        return None

    def look(self) -> None:
        """Reads the keys again when their file changed; one that cannot be read changes nothing."""
        if self._path is None or (stamp := stamp_of(self._path)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._take(read_keys(self._path))
        except HandrailError as error:
            log.error("the keys stay as they were: %s (%s)", error.problem, error.where)

    def _take(self, keys: tuple[Key, ...]) -> None:
        """A key that stays, stays as far in its rate as it is."""
        before = self._buckets
        self._buckets = {}
        for key in keys:
            if key.rate is not None:
                kept = before.get(key.sha256)
                self._buckets[key.sha256] = kept if kept and kept.rate == key.rate else Bucket(key.rate)
        self._keys = keys
        self._known.clear()
        self.asks = self.asks or bool(keys)

    def _recognised(self, header: bytes) -> Bucket | None:
        scheme, _, secret = header.partition(b" ")
        if scheme.lower() != b"bearer":
            raise _refused("this server asks for a key")
        key = matching(self._keys, secret.strip())
        if key is None:
            raise _refused("this key is not known here", "invalid_token")
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[header] = self._buckets.get(key.sha256)
        return self._known[header]


async def watching(guard: Guard) -> None:
    """Keeps up with keys that are added and removed, once a second."""
    while True:
        await asyncio.sleep(LOOK_S)
        guard.look()


def _refused(problem: str, reason: str = "") -> Refused:
    asks = b'Bearer realm="handrail"' + (f', error="{reason}"'.encode() if reason else b"")
    mend = "send the header 'authorization: Bearer KEY'; on the server, handrail keys add NAME makes a key"
    return Refused(401, HandrailError("unauthorized", problem, mend), (b"www-authenticate", asks))


def _too_often(rate: Rate, wait_s: float) -> Refused:
    again_s = math.ceil(wait_s)
    error = HandrailError("rate_limited", f"this key may ask {rate}", f"ask again in {again_s} s")
    return Refused(429, error, (b"retry-after", b"%d" % again_s))


def _key_page() -> Response:
    """A field for the key. Its script keeps the key for the tab, asks again with it, and shows what then comes: a page
    of ours, whose script is let run here, or a report, which stays in a sandbox."""
    script = ASSETS.joinpath("key.js").read_text(encoding="utf-8")
    body = f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>Key · Handrail</title><style>{CSS}</style></head><body><main><h1>This server asks for a key</h1>
<noscript><p class=error>This needs JavaScript.</p></noscript><section class=card><form id=ask>
<label for=key>Key <span>kept until this tab is closed</span></label>
<input id=key type=password autocomplete=off spellcheck=false autofocus>
<div class=act><button class=main>Go on</button></div></form>
<p id=said class="soft small" aria-live=polite>On the server, <code>handrail keys add NAME</code> makes one.</p>
</section></main><script>{script}</script></body></html>"""
    hashes = " ".join([f"'sha256-{SCRIPT_HASH}'", *map(_hash, (script, JS, WRITING_JS))])
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; frame-src 'self'; "
        f"script-src {hashes}; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    )
    headers = (
        (b"www-authenticate", b'Bearer realm="handrail"'),
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
    )
    return Response(body.encode(), b"text/html; charset=utf-8", 401, headers)


def _hash(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


KEY_PAGE: Final = _key_page()
