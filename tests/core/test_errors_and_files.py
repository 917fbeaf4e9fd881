"""Errors stay printable; files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from handrail.core import files
from handrail.core.errors import HandrailError, did_you_mean, listed


def test_control_characters_never_reach_a_terminal() -> None:
    error = HandrailError("data", "a\x1b]0;evil\x07b\u202ec", "mend\r\nit")
    assert "\x1b" not in str(error)
    assert "\u202e" not in error.problem
    assert "\r" not in error.mend


def test_the_nearest_name_is_suggested_whatever_its_case() -> None:
    assert did_you_mean("prize", ["Price", "rooms"]) == " Did you mean 'Price'?"
    assert did_you_mean("zzz", ["Price"]) == ""


def test_long_lists_are_cut() -> None:
    assert listed(map(str, range(100)), 3) == "0, 1, 2 and 97 more"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    files.write_bytes(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HandrailError, match="disk is full") as caught:
        files.write_bytes(path, b"new")
    assert caught.value.exit_status == 5
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_a_draft_that_is_not_published_disappears(tmp_path: Path) -> None:
    with files.drafted_folder(tmp_path) as draft:
        (draft / "x").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_publishing_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with files.drafted_folder(tmp_path) as draft, pytest.raises(HandrailError, match="exists already"):
        files.publish_folder(draft, tmp_path / "taken")


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "absent"])
def test_only_plain_files_are_read_and_nothing_hangs(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(HandrailError):
        files.read_limited(path, 10)


def test_the_limit_is_kept_while_reading() -> None:
    with pytest.raises(HandrailError):
        files.read_limited(Path("/dev/zero"), 10)
