"""The folders that replicas work in are cleared away, whatever number the processes before them had."""

from __future__ import annotations

import os
from pathlib import Path

from handrail.core.sockets import private_folder
from handrail.predictors.workplace import Workplaces


def test_what_a_killed_process_of_the_same_number_left_is_cleared_away(tmp_path: Path) -> None:
    root = private_folder()
    assert root is not None
    left = root / "work" / f"{os.getpid()}.{os.getpid()}"
    (left / "deeper").mkdir(parents=True)
    beside = root / "work" / "2147483647.2147483647"
    beside.mkdir(exist_ok=True)
    try:
        Workplaces(tmp_path)
        assert not left.exists()
        assert beside.exists()
    finally:
        beside.rmdir()
