"""A predictor that answers the batches of a job, or a task that runs: in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handrail.core.errors import HandrailError, clipped
from handrail.predictors.blame import place_of, print_traceback
from handrail.predictors.memory import out_of_memory, ran_out
from handrail.predictors.opening import opened
from handrail.predictors.project import code_of
from handrail.predictors.settings import read_settings
from handrail.predictors.workplace import Workplaces


class JobCode:
    """Open from `__init__` to `close`. `job` is what `job_spec` tells the class; its `config` wins over the file's.

    All methods raise HandrailError with the file and the line: a job's owner may know them. `limit`: the memory that
    this process may take, for the words when it was not enough.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any] | None = None, limit: int = 0) -> None:
        settings = read_settings(folder)
        self._limit = limit or settings.mem or 0
        self._places = Workplaces(code_of(folder))
        self._here = self._places.enter()
        try:
            self._code = opened(settings, self._here, job=job, limit=self._limit)
        except BaseException:
            self.close()
            raise

    def predict(self, payload: Sequence[Any], batch_id: str) -> Any:
        """What the class returned for a batch; Cortex's own return nothing."""
        offered = {"payload": payload, "batch_id": batch_id, "request_id": batch_id, "query_params": {}, "headers": {}}
        return self._call("predict", offered)

    def complete(self) -> None:
        """`on_job_complete`, where the class has it."""
        if "on_job_complete" in self._code.asks:
            self._call("on_job_complete", {})

    def run(self, config: Mapping[str, Any] | None = None) -> Any:
        """Runs a task; `config` wins over the file's."""
        return self._call("__call__", {"config": {**self._code.config, **(config or {})}})

    def metrics(self) -> list[tuple[str, str, float, dict[str, str]]]:
        """What the class told its metrics_client since the last time."""
        return self._code.metrics.taken()

    def close(self) -> None:
        """Leaves the folder that it worked in."""
        self._places.leave(self._here)

    def _call(self, method: str, offered: Mapping[str, Any]) -> Any:
        if method not in self._code.asks:
            raise HandrailError("data", f"the class has no {method}", "add the method", field=method)
        return self._guarded(method, lambda: self._code.call(method, offered))

    def _guarded(self, method: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except HandrailError:
            raise
        except BaseException as error:
            print_traceback(error, self._here)
            if ran_out(error):
                raise out_of_memory(self._limit) from None
            problem = f"{method} failed: {type(error).__name__}: {clipped(str(error), 400)}"
            raise HandrailError("data", problem, "see the job's log", where=place_of(error, self._here)) from None
