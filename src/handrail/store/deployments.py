"""What is deployed: for each API its revisions and which of them was promoted, as small files that are written whole.

    HOME/deployments/<api>/revisions/<n>.json     what was asked for, where its model or code lies
    HOME/deployments/<api>/promoted.json          the revisions that were promoted, the last of them served

A file is there whole or not at all, so that whoever is killed at any moment leaves the old state or the new one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handrail.core.bundle import MODEL_NAME, strict_json, to_json
from handrail.core.errors import HandrailError
from handrail.core.failpoints import reached
from handrail.core.files import read_limited, remove_folder, write_bytes

MAX_BYTES: Final = 2**20
KEPT: Final = 20


@dataclass(frozen=True)
class Revision:
    """What was asked for at one time. `folder` holds the bundle or the code; `digest` tells one from another."""

    api: str
    number: int
    spec: Mapping[str, Any]
    folder: str
    digest: str
    created: float

    def as_dict(self) -> dict[str, Any]:
        return {"spec": dict(self.spec), "folder": self.folder, "digest": self.digest, "created": self.created}


class Deployments:
    """The files below `HOME/deployments`. Opening it writes nothing; one process writes at a time (the engine)."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "deployments"

    def apis(self) -> list[str]:
        """Names with a revision that was promoted, sorted."""
        if not self.folder.is_dir():
            return []
        return sorted(item.name for item in self.folder.iterdir() if MODEL_NAME.fullmatch(item.name)
                      and (item / "promoted.json").is_file())  # fmt: skip

    def served(self, api: str) -> Revision | None:
        """The revision that was promoted last."""
        numbers = self.promoted(api)
        return self.revision(api, numbers[-1]) if numbers else None

    def promoted(self, api: str) -> list[int]:
        """Revisions in the order in which they were promoted; one may be there twice, after a rollback."""
        path = self.folder / api / "promoted.json"
        if not path.is_file():
            return []
        found = strict_json(read_limited(path, MAX_BYTES), path, path.name)
        numbers = found.get("promoted") if isinstance(found, dict) else None
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise _damaged(path)
        return numbers

    def revision(self, api: str, number: int) -> Revision:
        """Raises HandrailError ("not_found") for one that is not there."""
        path = self._path(api, number)
        if not path.is_file():
            known = ", ".join(map(str, self.numbers(api))) or "none"
            raise HandrailError("not_found", f"'{api}' has no revision {number}", f"it has {known}")
        found = strict_json(read_limited(path, MAX_BYTES), path, path.name)
        try:
            return Revision(api, number, found["spec"], found["folder"], found["digest"], found["created"])
        except (KeyError, TypeError):
            raise _damaged(path) from None

    def numbers(self, api: str) -> list[int]:
        """The revisions of an API that are there, oldest first."""
        folder = self.folder / api / "revisions"
        names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(name[:-5]) for name in names if re.fullmatch(r"[1-9]\d{0,8}\.json", name))

    def propose(self, api: str, spec: Mapping[str, Any], folder: str, digest: str) -> Revision:
        """Writes the next revision down. It is not served before it is promoted."""
        number = max(self.numbers(api), default=0) + 1
        revision = Revision(api, number, spec, folder, digest, time.time())
        reached("propose.begun")
        write_bytes(self._path(api, number), to_json(revision.as_dict()))
        reached("propose.written")
        return revision

    def promote(self, api: str, number: int) -> None:
        """From now on this revision is the one that is served, also after a restart."""
        before = self.promoted(api)
        if before and before[-1] == number:
            return
        reached("promote.begun")
        write_bytes(self.folder / api / "promoted.json", to_json({"promoted": [*before, number][-KEPT:]}))
        reached("promote.written")
        self._sweep(api)
        reached("promote.swept")

    def before(self, api: str) -> int | None:
        """The revision that a rollback goes to: the one that was served before the last."""
        numbers = self.promoted(api)
        there = self.numbers(api)
        older = [number for number in numbers if number != numbers[-1] and number in there]
        return older[-1] if older else None

    def remove(self, api: str) -> None:
        """Forgets an API, all its revisions too."""
        reached("remove.begun")
        if (self.folder / api).is_dir():
            remove_folder(self.folder / api)

    def sweep(self) -> None:
        """Takes away what a process that was killed has half written."""
        for draft in [*self.folder.glob("*/.draft-*"), *self.folder.glob("*/revisions/.draft-*")]:
            draft.unlink(missing_ok=True)

    def _sweep(self, api: str) -> None:
        """Old revisions go, unless a rollback may want them."""
        wanted = {*self.promoted(api), *self.numbers(api)[-KEPT:]}
        for number in self.numbers(api):
            if number not in wanted:
                self._path(api, number).unlink(missing_ok=True)

    def _path(self, api: str, number: int) -> Path:
        return self.folder / api / "revisions" / f"{number}.json"


def _damaged(path: Path) -> HandrailError:
    return HandrailError("bundle", "this file of a deployment is damaged", "deploy the API again", where=str(path))
