"""What is kept of predictions: counts, samples within bounds, drift against the training data, right answers."""

from __future__ import annotations

from handrail.watch.retraining import feedback_table
from handrail.watch.telling import forget, summary
from handrail.watch.watcher import Watcher

__all__ = ["Watcher", "feedback_table", "forget", "summary"]
