"""API keys: made, listed, removed and recognised; a file that only its owner reads holds their hashes, never a key."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import HandrailError, clipped, did_you_mean, listed
from handrail.core.files import disk_errors, read_limited, write_bytes
from handrail.store.home import default_home

KEYS: Final = "keys.json"
# A word that says whose key it is: for people, for scanners of leaked secrets, and for what is kept out of our logs.
PREFIX: Final = "handrail_"
SECRET: Final = re.compile(rb"handrail_[A-Za-z0-9_-]{43}")
RANDOM_BYTES: Final = 32
OWNER_ONLY: Final = 0o600
MAX_KEYS_BYTES: Final = 2**20
UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600}


@dataclass(frozen=True)
class Rate:
    """How often a key may ask: `count` requests at once, and then `count` in every unit ("s", "m" or "h")."""

    count: int
    unit: str

    @property
    def per_s(self) -> int:
        return UNITS_S[self.unit]

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"


@dataclass(frozen=True)
class Key:
    """A key as it is kept; `rate` None: as often as it likes; `created` is seconds since 1970 (UTC).

    One round of SHA-256 is enough. Slow, salted hashes protect what people think up; a key is 256 random bits, so
    nobody who reads the hash can try them all, and a slow hash would be work that strangers could make us do.
    """

    name: str
    sha256: str
    rate: Rate | None
    created: int

    def as_dict(self) -> dict[str, Any]:
        rate = None if self.rate is None else str(self.rate)
        return {"name": self.name, "sha256": self.sha256, "rate": rate, "created": self.created}


def keys_file() -> Path:
    """Where keys are kept when nobody says: `HANDRAIL_HOME/keys.json`."""
    return default_home() / KEYS


def keys_at(given: str | Path | None) -> Path | None:
    """The file of keys that guards a server: the one given, which must hold some, else the store's; None where there is
    no home, and so no place where keys could be."""
    if given is None:
        try:
            return keys_file()
        except HandrailError:
            return None
    if not read_keys(Path(given)):
        raise HandrailError("usage", "no key is in there", f"handrail keys add NAME --keys {given}", where=str(given))
    return Path(given)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file, by name; none where there is no file. Raises HandrailError for a file that is off, or that
    others may write: they could let themselves in."""
    # A file that is mounted, as secrets are in Kubernetes, is a link.
    path = path.resolve()
    if not path.exists():
        return ()
    content = read_limited(path, MAX_KEYS_BYTES)
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        raise HandrailError("environment", "others may write the file of keys", f"chmod 600 {path}", where=str(path))
    try:
        return tuple(map(_key_from, json.loads(content)["keys"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"the file of keys is off: {clipped(f'{type(error).__name__}: {error}')}"
        raise HandrailError("data", problem, "remove it, and make keys anew: handrail keys add NAME", where=str(path)) \
            from error  # fmt: skip


def add_key(path: Path, name: str, rate: Rate | None = None) -> str:
    """Makes a key and returns it: the only time that it is seen. Raises HandrailError ("conflict") for a name that is
    taken."""
    _check_name(name)
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    with _alone(path.parent):
        keys = read_keys(path)
        if name in [key.name for key in keys]:
            mend = f"choose another name, or take it away first: handrail keys remove {name}"
            raise HandrailError("conflict", f"there is a key called '{name}' already", mend)
        key = Key(name, hashlib.sha256(secret.encode()).hexdigest(), rate, int(time.time()))
        _write(path, [*keys, key])
    return secret


def remove_key(path: Path, name: str) -> None:
    """Takes a key away; servers that run refuse it a second later. Raises HandrailError ("not_found")."""
    with _alone(path.parent):
        keys = read_keys(path)
        if name not in [key.name for key in keys]:
            names = [key.name for key in keys]
            known = did_you_mean(name, names).strip() or (f"there are {listed(names)}" if names else "there are none")
            raise HandrailError("not_found", f"no key is called '{clipped(name)}'", known)
        _write(path, [key for key in keys if key.name != name])


def matching(keys: Iterable[Key], secret: bytes) -> Key | None:
    """The key that this is. Takes as long for one that is nearly right as for one that is not."""
    digest = hashlib.sha256(secret).hexdigest()
    found = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return found[0] if found else None


def redacted(line: bytes) -> bytes:
    """A line of a log without the keys that somebody put where they do not belong."""
    return SECRET.sub(b"handrail_***", line) if b"handrail_" in line else line


def rate_from(text: str) -> Rate:
    """100/s, 600/m, 5000/h. Raises ValueError."""
    found = re.fullmatch(r"([1-9]\d{0,8})/(s|m|h)", text, re.ASCII)
    if found is None:
        raise ValueError(f"expected a rate such as 100/s, received '{clipped(text, 40)}'")
    return Rate(int(found[1]), found[2])


def _key_from(item: Any) -> Key:
    key = Key(item["name"], item["sha256"], None if item["rate"] is None else rate_from(item["rate"]), item["created"])
    if MODEL_NAME.fullmatch(key.name) is None or re.fullmatch(r"[0-9a-f]{64}", key.sha256) is None:
        raise ValueError("a key has no name or no sha256")
    if type(key.created) is not int:
        raise TypeError("a key's time is no number")
    return key


def _check_name(name: str) -> None:
    if MODEL_NAME.fullmatch(name) is None:
        mend = "use 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit: website, ci-2"
        raise HandrailError("usage", f"a key cannot be called '{clipped(name)}'", mend)


def _write(path: Path, keys: Iterable[Key]) -> None:
    by_name = sorted(keys, key=lambda key: key.name)
    content = json.dumps({"keys": [key.as_dict() for key in by_name]}, indent=1) + "\n"
    write_bytes(path.resolve(), content.encode(), OWNER_ONLY)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time: two keys made at the same moment are both kept."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)
