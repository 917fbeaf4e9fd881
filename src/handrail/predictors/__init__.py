"""User code behind an API: a class that answers, its folder, its packages, its processes.

A predictor may import `Response` and `logger` from here; it need not import anything of ours.
"""

from __future__ import annotations

from handrail.predictors.logs import logger
from handrail.predictors.responses import Response

__all__ = ["Response", "logger"]
