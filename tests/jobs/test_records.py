"""Rows are found by their ends, wherever blocks and quotes fall, and no byte belongs to two of them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.errors import HandrailError
from handrail.jobs import records
from handrail.jobs.records import Spans, spans, split_rows

CELLS = st.text(st.sampled_from('ab ,"\n\r;é'), max_size=8)


def cut(content: bytes, *, rows: int = 2, most: int = 2**20, quoting: bool = True) -> list[tuple[int, int, int]]:
    return list(spans(io.BytesIO(content), 0, Spans(quoting, ",", rows, most), "rows.csv"))


def test_rows_go_together_by_their_count() -> None:
    assert cut(b"a\nb\nc\n") == [(0, 4, 2), (4, 2, 1)]


def test_the_last_row_needs_no_newline() -> None:
    assert cut(b"a\nb") == [(0, 3, 2)]


def test_a_newline_between_quotes_ends_no_row() -> None:
    assert cut(b'"a\nb",1\n"c""\n",2\n', rows=1) == [(0, 8, 1), (8, 9, 1)]


def test_where_quotes_are_letters_every_newline_ends_a_row() -> None:
    assert cut(b'5" disk\n3\n', rows=1, quoting=False) == [(0, 8, 1), (8, 2, 1)]


def test_lines_of_blanks_are_no_rows() -> None:
    assert sum(count for *_, count in cut(b"a\n\n  \r\nb\n\n")) == 2


def test_rows_that_are_large_go_alone() -> None:
    assert [count for *_, count in cut(b"a" * 90 + b"\nb\nc\n", rows=100, most=50)] == [1, 2]


def test_an_empty_file_has_no_rows() -> None:
    assert cut(b"") == []


def test_a_quote_that_is_never_closed_is_named() -> None:
    with pytest.raises(HandrailError, match="never closed") as error:
        cut(b'a\n"b\nc\n')
    assert error.value.where == "rows.csv, in the row at byte 2"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_blocks_may_end_anywhere(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'a,"x\ny"\n\nb,"1""2"\r\nc,\xc3\xa9\n'
    whole = cut(content)
    monkeypatch.setattr(records, "BLOCK_BYTES", block)
    assert cut(content) == whole


def test_a_row_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 8)
    monkeypatch.setattr(records, "LONGEST_ROW_BYTES", 16)
    with pytest.raises(HandrailError, match="row of more than 16 bytes"):
        cut(b"x" * 100, quoting=False)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=8), st.integers(1, 5), st.integers(1, 40))
def test_pieces_are_the_whole_and_count_what_a_reader_finds(rows: list[list[str]], size: int, most: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode()
    pieces = list(spans(io.BytesIO(content), 0, Spans(True, ",", size, most), ""))
    assert sum(count for *_, count in pieces) == len(rows)
    assert all(count <= size for *_, count in pieces)
    assert b"".join(content[first : first + length] for first, length, _ in pieces) == content
    assert len(split_rows(content, Spans(True, ",", 1, 1))) == len(rows)
