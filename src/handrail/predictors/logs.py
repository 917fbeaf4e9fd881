"""The log of a predictor: one JSON object a line, with what `extra` adds to it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

logger: Final = logging.getLogger("handrail.predictor")

# What every record has; all else in it came with `extra`.
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def log_as_json(level: str) -> None:
    """Lets all loggers of this process write to its standard error, from that level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class JsonLines(logging.Formatter):
    """`{"asctime": …, "levelname": "INFO", "message": …, "process": 235, …}`; a traceback follows on lines below."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
            "asctime": when, "levelname": record.levelname, "message": record.getMessage(), "process": record.process,
        }  # fmt: skip
        text = json.dumps(line, default=str, ensure_ascii=False)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
