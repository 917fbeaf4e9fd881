"""What the operator of an engine chose: where it listens, and what jobs may read and tell. A small file of JSON."""

from __future__ import annotations

from typing import Any, Final

from handrail.core.bundle import strict_json, to_json
from handrail.core.errors import HandrailError
from handrail.core.files import read_limited, write_bytes
from handrail.engines.local.place import Place

HOST: Final = "127.0.0.1"
PORT: Final = 8080
MAX_BYTES: Final = 2**16
MOST_WORKERS: Final = 256
KNOWN: Final[dict[str, Any]] = {
    "host": HOST, "port": PORT, "folders": [], "webhooks": [], "workers": 0, "keep_days": 7, "tls": [],
}  # fmt: skip


def read_settings(place: Place) -> dict[str, Any]:
    """`host` and `port` as they last were; `folders` that batches over HTTP may read, `webhooks` that may be told;
    `workers` that jobs have together (0: half of the processors); `keep_days` that their results stay; `tls`: the files
    of a certificate and of its key (none: plain HTTP).

    Raises HandrailError where the file is not what it should be.
    """
    if not place.settings.is_file():
        return dict(KNOWN)
    found = strict_json(read_limited(place.settings, MAX_BYTES), place.settings, place.settings.name)
    if (
        not isinstance(found, dict)
        or any(type(found.get(key, usual)) is not type(usual) for key, usual in KNOWN.items())
        or not _is_sound({**KNOWN, **found})
    ):
        mend = f"write {to_json(KNOWN).decode().strip()}, or remove the file"
        raise HandrailError("data", "the engine's settings are off", mend, where=str(place.settings))
    return {**KNOWN, **found}


def _is_sound(found: dict[str, Any]) -> bool:
    texts = [*found["folders"], *found["webhooks"], *found["tls"]]
    are_texts = all(isinstance(one, str) for one in texts)
    return (
        are_texts and len(found["tls"]) in (0, 2) and 0 <= found["workers"] <= MOST_WORKERS and found["keep_days"] > 0
    )


def write_settings(place: Place, **changed: Any) -> None:
    """Keeps what was chosen; the rest stays."""
    write_bytes(place.settings, to_json({**read_settings(place), **changed}))
