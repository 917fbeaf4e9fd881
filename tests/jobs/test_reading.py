"""Rows that are read piece by piece are the rows that are read at once, for every kind of file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.core.errors import HandrailError
from handrail.data.read import read_table
from handrail.jobs import planning
from handrail.jobs.finding import files_in
from handrail.jobs.planning import Plan, fitting_rows, plan_tables
from handrail.jobs.reading import Rows, rows_of

TEXTS = st.text(st.sampled_from(string.ascii_letters + ' ,;"\n\té€'), max_size=12)


def plan_of(*paths: Path, rows: int | None = 2) -> Plan:
    found = files_in([str(path) for path in paths])
    return plan_tables(found, piece_rows=rows, workers=1, named=True, check=lambda source: None)


def read(plan: Plan) -> list[Rows]:
    return [rows_of(piece, plan.sources[piece.source], Path()) for piece in plan.pieces]


def columns_of(plan: Plan) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in plan.names}
    for rows in read(plan):
        assert rows.table is not None
        assert not rows.broken
        for name in plan.names:
            found[name] += rows.table.columns[name]
    return found


def same(path: Path, rows: int = 2) -> Plan:
    """Asserts that the pieces of a file are the file."""
    plan = plan_of(path, rows=rows)
    whole = read_table(path)
    assert columns_of(plan) == whole.columns
    assert plan.rows == len(whole)
    assert [piece.position for piece in plan.pieces] == [rows * number for number in range(len(plan.pieces))]
    return plan


CSVS = {
    "plain": b"id,text\n1,a\n2,b\n3,c\n4,d\n5,e\n",
    "no newline at the end": b"id,text\n1,a\n2,b\n3,c",
    "windows lines": b"id,text\r\n1,a\r\n2,b\r\n3,c\r\n",
    "a mark of the encoding": b"\xef\xbb\xbfid,text\n1,a\n2,b\n3,c\n",
    "quotes and newlines": b'id,text\n1,"a\nb"\n2,"say ""hi"", you"\n3,c\n',
    "semicolons": b"id;text\n1;a,b\n2;c\n3;d\n",
    "tabs": b"id\ttext\n1\ta\n2\t\n3\tc\n",
    "loose quotes between tabs": b'id\ttext\n1\t5" disk\n2\tsay "hi" now\n3\tc\n',
    "blank lines": b"\n\nid,text\n1,a\n\n2,b\n   \n3,c\n\n",
    "comments": b"# made by hand\n# twice\nid,text\n1,a\n2,b\n3,c\n",
    "a header that begins like a comment": b"#id,text\n1,a\n2,b\n3,c\n",
    "no header": b"1,1.5\n2,2.5\n3,3.5\n",
    "no header, with a mark": b"\xef\xbb\xbf1,1.5\n2,2.5\n3,3.5\n",
    "names that are repaired": b"id,id,,a  b\n1,2,3,4\n5,6,7,8\n9,1,2,3\n",
    "latin letters": "id,größe\n1,groß\n2,klein\n3,fürs\n".encode("cp1252"),
    "utf-16": "id,text\n1,é\n2,b\n3,c\n".encode("utf-16"),
    "old mac lines": b"id,text\r1,a\r2,b\r3,c\r",
    "one column": b"text\nhello there\nyou\nand you\n",
    "amounts": b"id,price\n1,$5\n2,$1200\n3,$7.50\n4,$8\n5,$9\n",
    "blanks after commas": b"id, text\n1, a\n2, b\n3, c\n",
}


@pytest.mark.parametrize("content", CSVS.values(), ids=CSVS.keys())
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_pieces_of_a_csv_are_the_csv(content: bytes, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    same(path, rows)


LINES = {
    "plain": b'{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n{"id": 3, "text": "c"}\n',
    "no newline at the end": b'{"id": 1}\n{"id": 2}\n{"id": 3}',
    "blank lines": b'\n{"id": 1}\n\n{"id": 2}\n   \n{"id": 3}\n',
    "names that come late": b'{"id": 1}\n{"id": 2, "text": "b"}\n{"id": 3, "more": true}\n',
    "a mark of the encoding": b'\xef\xbb\xbf{"id": 1}\n{"id": 2}\n{"id": 3}\n',
    "lists of words": b'{"id": 1, "tags": ["a", "b"]}\n{"id": 2, "tags": []}\n{"id": 3, "tags": null}\n',
}


@pytest.mark.parametrize("content", LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".json"])
def test_pieces_of_json_lines_are_the_lines(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    path.write_bytes(content)
    same(path)


def test_pieces_of_other_files_are_the_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"id": number, "text": f"number {number}"} for number in range(7)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "array.json").write_text(json.dumps(rows))
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(CSVS["plain"]))
    for name in ("rows.parquet", "array.json", "rows.csv.gz"):
        assert {source.kind for source in same(tmp_path / name).sources} == {"table"}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 99), TEXTS, TEXTS), min_size=1, max_size=12), st.integers(1, 5))
def test_whatever_stands_in_cells_pieces_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, str]], size: int
) -> None:
    path = tmp_path_factory.mktemp("drawn") / "rows.csv"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "first text", "second text"])
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    plan = plan_of(path, rows=size)
    found = columns_of(plan)
    assert found["number"] == [str(number) for number, _, _ in rows]
    assert [str(cell).strip() for cell in found["first text"]] == [one.strip() for _, one, _ in rows]


def broken(path: Path, rows: int = 100) -> tuple[list[int], dict[int, str]]:
    """The good places and the broken ones, counted through all pieces."""
    plan = plan_of(path, rows=rows)
    good: list[int] = []
    bad: dict[int, str] = {}
    for piece, found in zip(plan.pieces, read(plan), strict=True):
        good += [piece.position + place for place in found.places]
        bad |= {piece.position + place: what for place, (what, _) in found.broken.items()}
    return good, bad


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_a_row_that_does_not_fit_is_broken_alone(rows: int, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('id,text\n1,a\n2,b,c\n3,d\n4,"x"y\n5,e\n6\n')
    good, bad = broken(tmp_path / "rows.csv", rows)
    assert good == [0, 2, 4]
    assert list(bad) == [1, 3, 5]
    assert bad[1] == "the row has 3 cells, the first row has 2"
    assert "quote mark inside a cell" in bad[3]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_line_that_is_no_json_object_is_broken_alone(rows: int, tmp_path: Path) -> None:
    lines = ['{"id": 1}', "{", '{"id": NaN}', '{"id": 2}', "[1]", '{"id": {"a": 1}}', '{"id": 1, "id": 2}', "[" * 2000]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    good, bad = broken(tmp_path / "rows.jsonl", rows)
    assert good == [0, 3]
    assert list(bad) == [1, 2, 4, 5, 6, 7]


def test_several_files_have_the_columns_of_all_together(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2,b\n")
    (tmp_path / "b.jsonl").write_text('{"text": "c", "id": 3, "more": 1}\n')
    plan = plan_of(tmp_path)
    assert plan.names == ("id", "text", "more")
    assert [piece.position for piece in plan.pieces] == [0, 2]


def test_a_file_that_changed_since_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSVS["plain"])
    plan = plan_of(path)
    path.write_bytes(CSVS["plain"] + b"6,f\n")
    with pytest.raises(HandrailError, match="changed after the job had begun"):
        read(plan)


def test_a_file_that_became_a_link_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSVS["plain"])
    plan = plan_of(path)
    path.rename(tmp_path / "elsewhere.csv")
    path.symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(HandrailError, match="cannot be read"):
        read(plan)


def test_a_large_file_is_read_a_few_pieces_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{number},{'x' * 100}\n" for number in range(20_000)))
    monkeypatch.setattr(planning, "HEAD_BYTES", 4096)
    plan = plan_of(path, rows=1000)
    assert len(plan.pieces) == 20
    assert max(piece.bytes for piece in plan.pieces) < path.stat().st_size / 15
    assert [columns["id"][0] for columns in (rows.table.columns for rows in read(plan) if rows.table)] == [
        str(1000 * number) for number in range(20)
    ]


@pytest.mark.parametrize(
    ("rows", "workers", "fits"), [(0, 1, 100), (2_000, 1, 100), (100_000, 2, 1000), (10**9, 4, 5000)]
)
def test_pieces_are_neither_too_many_nor_too_large(rows: int, workers: int, fits: int) -> None:
    assert fitting_rows(rows, workers) == fits


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("")
    with pytest.raises(HandrailError, match="no rows"):
        plan_of(tmp_path / "rows.csv")
