"""Which code its user has agreed to run: by what is in it, so that other code is asked about anew."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors, read_limited, write_bytes

AGREED: Final = "trusted.json"
MAX_AGREED_BYTES: Final = 2**22
# The newest are kept; who deploys older code again is asked again.
MOST_AGREED: Final = 1_000
PRIVATE_MODE: Final = 0o600

# Whether somebody agrees to run the code that lies in a folder.
Agree = Callable[[Path], bool]


def refuse_untrusted(home: Path, projects: Sequence[tuple[Path, Path]], agree: Agree) -> None:
    """Asks about each project, a pair of its folder and its copy, that was not agreed to before, and remembers.

    Raises HandrailError for one that is not agreed to.
    """
    agreed = _agreed(home / AGREED)
    for project, copy in projects:
        digest = _digest_of(copy)
        if digest in agreed:
            continue
        if not agree(project):
            problem = f"nobody has agreed to run the code in '{project}', and that is what deploying it does"
            raise HandrailError("usage", problem, "read it, then add --yes (in Python: trust=True)", field="yes")
        agreed[digest] = {"folder": str(project), "agreed": int(time.time())}
        _remember(home / AGREED, agreed)


def _digest_of(folder: Path) -> str:
    """sha256 over the names and contents of the files in a folder."""
    found = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        name = os.fsencode(path.relative_to(folder))
        found.update(b"%d %s %s\n" % (len(name), name, _digest_of_file(path)))
    return found.hexdigest()


def _digest_of_file(path: Path) -> bytes:
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _agreed(path: Path) -> dict[str, Any]:
    """digest → what was agreed to; nothing where the file is not that: then everybody is asked again."""
    if not path.exists():
        return {}
    try:
        found = json.loads(read_limited(path, MAX_AGREED_BYTES))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _remember(path: Path, agreed: dict[str, Any]) -> None:
    newest = dict(list(agreed.items())[-MOST_AGREED:])
    write_bytes(path, json.dumps(newest, indent=1).encode() + b"\n", PRIVATE_MODE)
