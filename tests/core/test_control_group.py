"""What the system tells of memory that ran out."""

from __future__ import annotations

from pathlib import Path

from handrail.core.control_group import out_of_memory_kills


def test_kills_for_want_of_memory_are_counted_where_the_system_tells(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    assert out_of_memory_kills(events) == 0
    events.write_text("low 0\noom 2\noom_kill 3\n", encoding="ascii")
    assert out_of_memory_kills(events) == 3
    events.write_text("nonsense", encoding="ascii")
    assert out_of_memory_kills(events) == 0
