"""Deployments: what is asked for becomes what runs. The acts behind `handrail deploy`, `scale`, `rollback` and others.

handrail.deploy("reviews").urls           # {"reviews": "http://127.0.0.1:8080/reviews/predict"}
handrail.deploy("handrail.yaml", prune=True)
deployments.scale("reviews", 4)

Each act comes back when it is done, and tells its steps meanwhile. Raises HandrailError, the engine's own included.
"""

from __future__ import annotations

from handrail.deployments.acts import delete, down, promote, refresh, rollback, scale, status, traffic, up
from handrail.deployments.deploying import Deployed, deploy

__all__ = [
    "Deployed", "delete", "deploy", "down", "promote", "refresh", "rollback", "scale", "status", "traffic", "up",
]  # fmt: skip
