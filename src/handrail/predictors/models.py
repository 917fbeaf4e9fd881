"""Models by name and version: loaded when they are asked for, loaded again when their files change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.predictors.cache import Cache
from handrail.predictors.settings import ManagedModels
from handrail.predictors.versions import State, names_of, place_of, state_of, versions_of, wanted

# How long what was seen on disk counts as seen.
LOOK_EVERY_S: Final = 0.3

log = logging.getLogger("handrail.predictors")


class Models:
    """The models of one replica. `load` makes a value of a version's path."""

    def __init__(self, models: ManagedModels, load: Callable[[Path], Any]) -> None:
        self._models = models
        self._load = load
        self._cache = Cache(models.cache_size, models.cache_bytes)
        self._seen: dict[Path, tuple[float, State | None]] = {}
        self._broken: dict[Path, Hashable] = {}
        self._swept = 0.0
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The names that there are now."""
        return names_of(self._models)

    def get(self, name: str | None = None, version: object = None) -> Any:
        """The loaded model. Raises HandrailError ("not_found") for a name or version that is not there.

        Where the latest version cannot be loaded, the one before it answers, and the log says why.
        """
        self._sweep()
        versions = versions_of(place_of(self._models, name))
        number = wanted(versions, version)
        found = self._seen_of(versions.values() if number is None else [versions[number]])
        if not found:
            raise HandrailError("not_found", "the model is gone", "put a version into its folder", field="model")
        *newer, (last, state) = self._whole(found)
        for path, newer_state in newer:
            try:
                return self._loaded(path, newer_state)
            except MemoryError:
                raise
            except Exception:
                self._broken[path] = newer_state.files
                log.exception("%s cannot be loaded; the version before it answers", path)
        return self._loaded(last, state)

    def held(self) -> list[Path]:
        """The versions that are loaded, the least recently used first."""
        return [path for path in self._cache.held() if isinstance(path, Path)]

    def _loaded(self, path: Path, state: State) -> Any:
        return self._cache.get(path, state.files, state.size, lambda: self._load(path))

    def _seen_of(self, paths: Iterable[Path]) -> list[tuple[Path, State]]:
        return [(path, state) for path in paths if (state := self._look(path)) is not None]

    def _whole(self, found: list[tuple[Path, State]]) -> list[tuple[Path, State]]:
        """The versions that can be loaded, as far as one can see: not those that are just being copied."""
        whole = [
            (path, state)
            for path, state in found
            if (state.settled or self._is_held(path, state)) and self._broken.get(path) != state.files
        ]
        return whole or found[:1]

    def _is_held(self, path: Path, state: State) -> bool:
        held = self._cache.peek(path)
        return held is not None and held.state == state.files

    def _look(self, path: Path) -> State | None:
        """What the files of a version are, or were a moment ago; what is loaded stays while they are being changed."""
        now = time.monotonic()
        with self._lock:
            when, state = self._seen.get(path, (-LOOK_EVERY_S, None))
            if now - when < LOOK_EVERY_S:
                return state
        state = state_of(path)
        held = self._cache.peek(path)
        if state is not None and held is not None and not state.settled:
            state = State(held.state, 0.0, held.size)  # type: ignore[arg-type]
        with self._lock:
            self._seen[path] = now, state
        return state

    def _sweep(self) -> None:
        """Lets go of models whose files are gone."""
        now = time.monotonic()
        if now - self._swept < LOOK_EVERY_S:
            return
        self._swept = now
        self._cache.keep(lambda path: isinstance(path, Path) and path.exists())
        with self._lock:
            for path in [path for path in self._seen if not path.exists()]:
                del self._seen[path]
