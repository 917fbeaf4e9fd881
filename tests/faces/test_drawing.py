"""What a training tells, on a terminal and off it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
from pathlib import Path

import pytest

from handrail.core.events import Planned, Progress, Said, Tried, Warned
from handrail.core.jsons import line_of
from handrail.faces.cli.drawing import lines_of, tell_plainly
from handrail.faces.cli.printing import put_table, size_words, table_lines
from tests.faces.shop import HANDRAIL
from tests.faces.test_verbs import reviews_file

EVENTS = [
    Said("the separator is ';'"),
    Warned("'id' is not used: every value is different"),
    Planned((("predict", "'label': one of 2"), ("models", "many " * 60))),
    Progress("fold 1", 1, 3, "log_loss 0.2"),
    Tried("n-grams", "log_loss", 0.123456, 2.5, True),
    Tried("odd", "log_loss", None, 0.1, False, "it failed"),
]


def test_every_event_fits_the_width() -> None:
    lines = [line for event in EVENTS for line in lines_of(event, 60)]
    assert max(map(len, lines)) <= 60
    assert any("best so far" in line for line in lines)
    assert any("it failed" in line for line in lines)


def test_steps_are_left_out_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for event in EVENTS:
        tell_plainly(event)
    told = capsys.readouterr()
    assert told.out == ""
    assert "fold 1" not in told.err


def test_names_from_data_cannot_steer_the_terminal() -> None:
    lines = lines_of(Tried("a\x1b[31mb", "log_loss", 0.1, 1.0, False, "x\ny"), 80)
    lines += lines_of(Warned("column '\x1b]0;x\x07'"), 80)
    assert all(line.isprintable() for line in lines)


def test_wide_letters_and_combining_ones_keep_columns_in_line() -> None:
    lines = table_lines([("日本", "x"), ("e\u0301a", "y"), ("abcd", "z")], 80)
    assert lines == ["日本  x", "e\u0301a    y", "abcd  z"]


def test_figures_stand_to_the_right() -> None:
    assert table_lines([("name", "rows"), ("a", "5"), ("b", "1,000")], 80) == [
        "name   rows",
        "a         5",
        "b     1,000",
    ]


def test_json_holds_no_character_that_steers() -> None:
    assert line_of({"a": "\x9b31m \u202e é"}) == '{"a": "\\u009b31m \\u202e é"}'


def test_sizes_are_for_people() -> None:
    assert [size_words(size) for size in (12, 1_500, 2_000_000, 3 * 10**9)] == ["12 bytes", "1.5 kB", "2 MB", "3 GB"]


def test_an_empty_table_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    put_table([])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("columns", ["1", "80", "200"])
def test_a_terminal_gets_a_bar_and_a_clean_end(columns: str, home: Path, tmp_path: Path) -> None:
    path = reviews_file(tmp_path)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": columns, "TERM": "xterm-256color"}
    words = [*HANDRAIL, "train", str(path), "--trials", "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=environment) as running:
        os.close(theirs)
        shown = io.BytesIO()
        while chunk := _read(ours):
            shown.write(chunk)
        assert running.wait() == 0
    os.close(ours)
    text = shown.getvalue().decode()
    assert "✓ n-grams" in text
    assert "\x1b[?25h" in text  # the cursor is back
    assert "Traceback" not in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other end is closed
        return b""
