"""What is served under one name: its versions, each with a queue and replicas of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from handrail.core.errors import HandrailError, listed
from handrail.core.signature import Signature
from handrail.model import Model
from handrail.serve.batcher import Queue
from handrail.serve.formats.call import Call
from handrail.serve.formats.rows import Check, compiled
from handrail.serve.guard import Guard
from handrail.serve.http import Request
from handrail.serve.limits import Limits
from handrail.serve.metrics import Metrics, Seen
from handrail.serve.pool import Pool
from handrail.serve.quantiles import Recent
from handrail.serve.streams import Streams

# Which version answers a request that asks for none.
Choose = Callable[[Request], "Version"]
# The request, what it asked, the answers.
Watch = Callable[[Request, Call, Sequence[bytes]], object]
# The request, and what reads it.
Copy = Callable[[Request, Any], object]


@dataclass(eq=False)
class Version:
    """One version of a model as it is served: what is known of it before a request comes, and its way to an answer."""

    model: Model
    batcher: Queue
    pool: Pool
    metrics: Metrics
    check: Check
    served_as: str | None = None
    limits: Limits | None = None
    recent: Recent = field(default_factory=Recent)
    # Told of every answer; given a copy of every request. Both are none of the caller's business and never raise.
    watch: Watch | None = None
    copy: Copy | None = None

    @property
    def name(self) -> str:
        """The name it is served under: its own, unless another was chosen."""
        return self.served_as or self.model.name

    @property
    def number(self) -> str:
        """The version's number as text; "0" for a bundle that is in no store."""
        return str(self.model.version or 0)

    @property
    def signature(self) -> Signature:
        return self.model.signature

    @property
    def streams(self) -> Streams | None:
        """Where its texts are written; None for a model that writes none."""
        return self.batcher if isinstance(self.batcher, Streams) else None

    def seen(self) -> Seen:
        """What is counted of it, and how it stands now."""
        pool = self.pool
        return Seen(self.name, self.number, self.metrics, pool.ready, self.batcher.waiting, pool.memory_bytes())

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a program may want to know of the model."""
        signature = self.signature.as_dict()
        inputs = [{**field, "choices": list(field["choices"])} for field in signature["inputs"]]
        manifest = self.model.manifest
        return {
            "name": self.name,
            "version": self.model.version,
            "task": manifest.task,
            "predict": f"/{self.name}/predict",
            **({} if self.streams is None else {"generate": f"/{self.name}/generate"}),
            "report": f"/{self.name}/report",
            "inputs": inputs,
            "ignored": list(signature["ignored"]),
            "output": {**signature["output"], "labels": list(signature["output"]["labels"])},
            "examples": self.model.examples,
            # How many passages a search gives at most.
            **({"matches": manifest.encode.get("matches", 1)} if manifest.task == "search" else {}),
        }


class Api:
    """A name and its versions. `current` answers when no version is asked for, unless `choose` says otherwise. `guard`
    asks for keys of its own where only the body of a request says that it is for this API (None: as everywhere)."""

    def __init__(self, versions: Iterable[Version]) -> None:
        self.versions = {version.number: version for version in versions}
        self.current = next(reversed(self.versions.values()))
        self.choose: Choose | None = None
        self.guard: Guard | None = None
        # Labels, and the numbers of the versions that they mean.
        self.labels: dict[str, str] = {}

    @property
    def name(self) -> str:
        return self.current.name

    @property
    def is_ready(self) -> bool:
        return self.current.pool.is_ready

    def chosen(self, number: str | None, request: Request | None = None) -> Version:
        """The version with that number, or the one that answers this request. Raises HandrailError ("not_found") with
        those served."""
        if number is None:
            return self.current if self.choose is None or request is None else self.choose(request)
        found = self.versions.get(number)
        if found is None or found.model.version is None:
            numbered = [version.number for version in self.versions.values() if version.model.version is not None]
            served = f"served is {listed(numbered)}" if numbered else "it has no number"
            raise HandrailError("not_found", f"version '{number[:40]}' of {self.name} is not served", served)
        return found

    def admit(self, request: Request) -> None:
        """Raises Refused where this API asks for another key than the request shows."""
        if self.guard is not None:
            self.guard.admit(request, "caller")

    def switch(self, version: Version) -> Version:
        """Makes a version that is ready the current one. Gives the one before, which may be drained and closed."""
        before = self.current
        others = {one.number: one for one in self.versions.values() if one is not before}
        self.versions = {**others, version.number: version}
        self.current = version
        return before

    def add(self, version: Version) -> None:
        """Serves another version beside the current one."""
        self.versions = {**self.versions, version.number: version}

    def remove(self, version: Version) -> None:
        """Serves a version no more. It may be drained and closed."""
        self.versions = {number: one for number, one in self.versions.items() if one is not version}


def version_of(model: Model, batcher: Queue, pool: Pool, metrics: Metrics, name: str | None = None) -> Version:
    """A model as it is served by this pool."""
    return Version(model, batcher, pool, metrics, compiled(model.signature), name)
