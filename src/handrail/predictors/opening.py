"""A snapshot brought to life in this process: variables, log, paths, then the user's file and its class."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from handrail.predictors.loading import Loaded, loaded
from handrail.predictors.logs import log_as_json
from handrail.predictors.settings import Settings
from handrail.predictors.stand_ins import stand_in

THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def opened(settings: Settings, here: Path, *, job: Mapping[str, Any] | None = None, limit: int = 0) -> Loaded:
    """The user's object. `here` is the folder to work in, `limit` the memory that messages name.

    Raises HandrailError that says what went wrong, in which file and line.
    """
    sys.dont_write_bytecode = True
    os.environ.update(dict.fromkeys(THREADS, str(max(1, int(settings.cpu)))))
    os.environ.update({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **settings.env})
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    log_as_json(settings.log_level)
    stand_in()
    return loaded(settings, here, job=job, limit=limit)
