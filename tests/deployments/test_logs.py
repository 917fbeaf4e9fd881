"""Logs: the newest lines of all replicas in the order of their stamps, and what is added to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.deployments import logs as logs_module
from handrail.deployments.logs import Line, Logs, folder_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "logs" / "reviews"
    found.mkdir(parents=True)
    return found


@pytest.fixture
def opened(folder: Path) -> Iterator[Logs]:
    logs = Logs(folder)
    yield logs
    logs.close()


def stamped(second: int, pid: int, text: str) -> str:
    return f"2026-11-25T03:40:{second:02}.123Z {pid} {text}\n"


def write(folder: Path, name: str, *lines: str | bytes) -> None:
    with (folder / name).open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else line.encode())


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def newest(folder: Path, count: int = 100, version: str | None = None) -> list[Line]:
    logs = Logs(folder, version)
    try:
        return logs.newest(count)
    finally:
        logs.close()


def test_the_lines_of_all_versions_are_merged_by_time(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "a"), stamped(3, 11, "c"))
    write(folder, "4.log", stamped(2, 20, "b"), stamped(4, 20, "d"))
    found = newest(folder)
    assert texts(found) == ["a", "b", "c", "d"]
    assert found[1] == Line("2026-11-25T03:40:02.123Z", "4", "20", "b")
    assert texts(newest(folder, 2)) == ["c", "d"]
    assert texts(newest(folder, version="3")) == ["a", "c"]
    assert newest(folder, 0) == []


def test_a_line_without_a_stamp_belongs_to_the_one_before(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "Traceback"), "  File one\n", "ValueError: no\n")
    write(folder, "4.log", stamped(1, 20, "between"), stamped(2, 20, "after"))
    found = newest(folder)
    assert texts(found) == ["Traceback", "  File one", "ValueError: no", "between", "after"]
    assert {line.pid for line in found[:3]} == {"10"}
    assert [line.pid for line in newest(folder, 4, "3")] == ["10", "10", "10"]


def test_the_stamp_of_a_long_traceback_is_found(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "Traceback"), *(f"  line {number}\n" for number in range(50)))
    write(folder, "4.log", stamped(9, 20, "later"))
    found = newest(folder, 3)
    assert texts(found) == ["  line 48", "  line 49", "later"]
    assert found[0].pid == "10"


def test_a_log_without_any_stamp_is_dated_by_its_file(folder: Path) -> None:
    write(folder, "3.log", "one\n", "two\n")
    found = newest(folder)
    assert texts(found) == ["one", "two"]
    assert all(line.pid == "?" and line.at.endswith("Z") for line in found)


def test_the_file_before_the_rotation_fills_up(folder: Path) -> None:
    write(folder, "3.log.1", stamped(1, 10, "old"), stamped(2, 10, "older half"))
    write(folder, "3.log", " of it\n", stamped(3, 10, "new"))
    assert texts(newest(folder)) == ["old", "older half", " of it", "new"]
    assert {line.pid for line in newest(folder)} == {"10"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x00\x01\xfe", "\x00\x01�"),
        (b"windows\r", "windows"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"a\tb", "a   b"),
        ("né 🎬".encode(), "né 🎬"),
    ],
)
def test_any_bytes_are_a_line(raw: bytes, text: str, folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "").encode().rstrip(b"\n") + raw + b"\n")
    assert texts(newest(folder)) == [text]


def test_a_line_without_end_is_clipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "MOST_BYTES", 100_000)
    write(folder, "3.log", b"x" * 1_000_000)
    (line,) = newest(folder, 10)
    assert line.text.startswith("x" * 8192 + "… (")
    assert len(line.text) < 8300


def test_a_long_log_is_read_from_its_end(folder: Path) -> None:
    with (folder / "3.log").open("wb") as file:
        file.seek(2**34)
        file.write(b"\n" + stamped(1, 10, "last").encode())
    (folder / "3.log").stat()
    assert texts(newest(folder, 1)) == ["last"]


def test_what_is_added_comes_once(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "old"))
    logs = Logs(folder)
    assert texts(logs.newest(10)) == ["old"]
    assert logs.added() == []
    write(folder, "3.log", stamped(2, 10, "new"), "half")
    assert texts(logs.added()) == ["new"]
    write(folder, "3.log", " and half\n")
    assert [(line.pid, line.text) for line in logs.added()] == [("10", "half and half")]
    assert logs.added() == []
    logs.close()


def test_a_version_that_comes_later_is_followed_from_its_start(folder: Path, opened: Logs) -> None:
    assert opened.newest(10) == []
    write(folder, "4.log", stamped(1, 20, "first"))
    assert texts(opened.added()) == ["first"]


def test_a_log_is_followed_through_its_rotation(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "old"))
    logs = Logs(folder)
    write(folder, "3.log", stamped(2, 10, "last of the old"), "no end")
    (folder / "3.log").rename(folder / "3.log.1")
    write(folder, "3.log", stamped(3, 10, "first of the new"))
    found = [line for _ in range(4) for line in logs.added()]
    assert texts(found) == ["last of the old", "no end", "first of the new"]
    logs.close()


def test_a_log_that_was_emptied_is_followed_from_its_start(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "old"), stamped(2, 10, "old"))
    logs = Logs(folder)
    (folder / "3.log").write_text(stamped(3, 10, "new"))
    assert texts(logs.added()) == ["new"]
    logs.close()


def test_a_log_that_is_removed_is_let_go(folder: Path) -> None:
    write(folder, "3.log", stamped(1, 10, "old"))
    logs = Logs(folder)
    (folder / "3.log").unlink()
    assert logs.added() == []
    assert logs.added() == []
    logs.close()


def test_much_at_once_is_read_in_blocks(folder: Path, opened: Logs) -> None:
    write(folder, "3.log", *(stamped(number // 100, 10, f"line {number}") for number in range(3_000)))
    found = [line for _ in range(5) for line in opened.added()]
    assert texts(found) == [f"line {number}" for number in range(3_000)]


def test_an_api_without_logs_is_named_with_the_nearest(folder: Path) -> None:
    assert folder_of(folder.parent, "reviews") == folder
    with pytest.raises(HandrailError, match="no logs of 'revews'") as caught:
        folder_of(folder.parent, "revews")
    assert "reviews" in caught.value.mend
    with pytest.raises(HandrailError, match="no logs"):
        folder_of(folder / "nowhere", "reviews")
