"""Tables as they come: right, or one sentence that names the place and the mend. Never another exception."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.data.look import look_at
from handrail.data.read import read_bytes, read_table
from handrail.data.table import Table

GOOD = "text,label\n" + "".join(f"some words number {number},{'ab'[number % 2]}\n" for number in range(40))


def refused(content: bytes | str, name: str = "rows.csv") -> HandrailError:
    raw = content.encode() if isinstance(content, str) else content
    with pytest.raises(HandrailError) as caught:
        look_at(read_bytes(raw, name))
    error = caught.value
    assert error.problem
    assert error.mend
    assert "\n" not in error.problem
    assert error.exit_status in (3, 5)
    return error


def table(content: bytes | str, name: str = "rows.csv") -> Table:
    return read_bytes(content.encode() if isinstance(content, str) else content, name)


def numbers(target: list[str], **more: list[str]) -> str:
    columns = {"a": [str(number * 7 % 13) for number in range(len(target))], **more, "target": target}
    lines = [",".join(row) for row in zip(*columns.values(), strict=True)]
    return "\n".join([",".join(columns), *lines])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"   \n\n", "empty"),
        (b"text,label\n", "only a header"),
        (b"text,label\nhello there you,a\n", "at least 10 rows, got 1"),
        (b"a,b\n" + b"1,2\n" * 30, "no column looks like an answer"),
    ],
)
def test_a_file_without_rows_to_learn_from_is_named_as_such(content: bytes, said: str) -> None:
    assert said in refused(content).problem


@pytest.mark.parametrize("row", ["1,2,3", "1"])
def test_a_ragged_row_is_refused_with_its_line_and_never_shifted(row: str) -> None:
    error = refused("a,b\n" + "1,2\n" * 15 + row + "\n" + "1,2\n" * 5)
    assert "cells, the first row has 2" in error.problem
    assert error.where is not None
    assert "line 17" in error.where


def test_column_names_are_repaired_and_each_repair_is_told() -> None:
    found = table("\ufeffa,a,,  b  ,\n" + "1,2,3,4,5\n" * 12)
    assert list(found.columns) == ["a", "a_2", "column_3", "b", "column_5"]
    assert any("a_2" in note for note in found.notes)


def test_a_name_of_ten_thousand_characters_is_cut() -> None:
    assert max(map(len, table("x" * 10_000 + ",b\n" + "1,2\n" * 12).columns)) <= 200


def test_a_name_with_line_breaks_is_put_on_one_line() -> None:
    assert list(table('"a\nb",c\n' + "1,2\n" * 12).columns) == ["a b", "c"]


def test_a_quote_that_is_never_closed_is_named_by_its_line() -> None:
    error = refused('a,b\n1,2\n1,"two\n' + "1,2\n" * 20)
    assert "never closed" in error.problem
    assert "line 3" in str(error.where)


def test_a_cell_of_more_than_a_mebibyte_is_refused() -> None:
    assert "1,048,576" in refused("a,b\n1," + "x" * 1_100_000 + "\n" + "1,2\n" * 12).problem


def test_a_nul_is_named_by_its_line() -> None:
    error = refused(b"a,b\n1,2\n1,\x002\n")
    assert "NUL" in error.problem
    assert "line 3" in str(error.where)


@pytest.mark.parametrize(
    "label", ["\u202eevil", "\u200bx", "\x1b[31mred", "e\u0301t\u00e9", "😀", "<script>alert(1)</script>", "=cmd|'x'"]
)
def test_strange_characters_are_just_characters(label: str) -> None:
    rows = "".join(f"some words number {number},{label if number % 2 else 'plain'}\n" for number in range(40))
    assert set(look_at(table("text,label\n" + rows)).labels) == {label, "plain"}


def test_labels_that_differ_in_composition_only_are_warned_of() -> None:
    labels = ["caf\u00e9", "cafe\u0301"]
    rows = "".join(f"some words number {number},{labels[number % 2]}\n" for number in range(40))
    assert any("may be the same" in note for note in look_at(table("text,label\n" + rows)).notes)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_usual_encodings_are_read(encoding: str) -> None:
    found = table(GOOD.replace("some", "så").encode(encoding))
    assert str(found.columns["text"][0]).startswith("så")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"PK\x03\x04rest", "Excel"), (b"PAR1rest", "Parquet"), (b"\x89PNG\r\n", "picture"), (b"%PDF-1.7", "PDF"),
     (b"\x1f\x8b\x08rest", "gzip"), (b"SQLite format 3\0", "SQLite"), (b"\x7fELF", "program")],
)  # fmt: skip
def test_what_is_no_table_is_recognised(content: bytes, kind: str) -> None:
    assert kind in refused(content).problem


@pytest.mark.parametrize("name", ["x.xlsx", "x.parquet", "x.csv.gz", "x.jsonl", "x.json"])
def test_a_damaged_file_of_any_kind_is_one_sentence(name: str) -> None:
    assert refused(b"\x00\x01\x02 not really", name).code in ("data", "environment")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator: str) -> None:
    found = table(f"a{separator}b\n" + f"1{separator}2\n" * 12)
    assert list(found.columns) == ["a", "b"]


def test_decimal_commas_and_thousands_are_read_as_numbers() -> None:
    rows = "".join(f"{number}.{number}00,5;{'xy'[number % 2]}\n" for number in range(1, 10)) * 3
    look = look_at(table("amount;label\n" + rows))
    assert look.inputs()[0].kind == "number"
    assert look.inputs()[0].parse("1.234,5") == 1234.5


def test_a_city_called_na_is_a_word_and_that_is_told() -> None:
    cities = ["NA", "Oslo", "Rome"] * 10
    look = look_at(table(numbers(["x", "y"] * 15, city=cities)))
    (city,) = [field for field in look.inputs() if field.name == "city"]
    assert "NA" in city.choices
    assert not city.optional
    assert any("--missing NA" in note for note in look.notes)


def test_blanks_in_a_number_are_missing() -> None:
    look = look_at(table(numbers(["x", "y"] * 15, total=[" ", "1.5", "2.5"] * 10)))
    (total,) = [field for field in look.inputs() if field.name == "total"]
    assert total.kind == "number"
    assert total.optional


@pytest.mark.parametrize("word", ["inf", "-inf", "1e999"])
def test_a_number_that_no_computer_holds_is_refused_with_its_row(word: str) -> None:
    error = refused(numbers(["x", "y"] * 50, size=[*map(str, range(50, 149)), word]))
    assert "finite" in error.problem
    assert "row 100" in str(error.where)


@pytest.mark.parametrize("share", [1, 3])
def test_infinity_is_refused_however_often_it_stands_there(share: int) -> None:
    sizes = [str(number) if number % 10 >= share else "inf" for number in range(40)]
    error = refused(numbers(["x", "y"] * 20, size=sizes))
    assert "finite" in error.problem
    assert look_at(table(numbers(["x", "y"] * 20, size=sizes)), kinds={"size": "category"}).rows == 40


@pytest.mark.parametrize(
    ("cells", "text", "value"),
    [
        (["$105.44", "$1,205.10", "$7.00"], "1205.1", 1205.1),
        (["105,44 €", "7,00 €", "9,10 €"], "9,10", 9.1),
        (["60.60%", "3%", "12.5%"], "12.5", 12.5),
        (["(89.04)", "12.50", "3"], "-89.04", -89.04),
        (["\u22125", "7", "\u22123.5"], "-3.5", -3.5),
        (["$5", "", "($6.50)"], "-6.50", -6.5),
    ],
)
def test_amounts_with_their_marks_are_numbers_and_that_is_told(cells: list[str], text: str, value: float) -> None:
    found = table(numbers(["x", "y"] * 15, cost=[f'"{cell}"' for cell in cells * 10]))
    (cost,) = [field for field in look_at(found).inputs() if field.name == "cost"]
    assert cost.kind == "number"
    assert cost.parse(text) == value
    assert any("'cost' is written with" in note for note in found.notes)


@pytest.mark.parametrize("cells", [["5%", "0.5"], ["$5", "€5"], ["(1)", "(2)"], ["5 - 10", "$3"], ["$1.2.3", "$2"]])
def test_what_may_be_something_else_than_an_amount_stays_as_it_is(cells: list[str]) -> None:
    assert table(numbers(["x", "y"] * 15, cost=cells * 15)).columns["cost"] == cells * 15


def test_huge_fractions_are_amounts() -> None:
    look = look_at(table(numbers(["x", "y"] * 15, mass=[f"{number}.123e25" for number in range(1, 31)])))
    assert [field.kind for field in look.inputs() if field.name == "mass"] == ["number"]


@pytest.mark.parametrize(("name", "kind"), [("ID", "id"), ("USER_ID", "id"), ("year", "number"), ("count", "id")])
def test_whole_numbers_that_differ_are_known_by_their_name(name: str, kind: str) -> None:
    content = numbers(["x", "y"] * 15, **{name: [str(1900 + number) for number in range(30)]})
    assert [one.kind for one in look_at(table(content)).columns if one.name == name] == [kind]


@pytest.mark.parametrize(
    ("name", "cells"),
    [("n/v", [str(number) if number % 10 else "n/v" for number in range(60)]),
     ("2021-02-30", ["2021-02-30", *(f"2021-01-{1 + number % 28:02} 10:{number:02}" for number in range(59))])],
)  # fmt: skip
def test_a_few_cells_that_spoil_a_column_are_named(name: str, cells: list[str]) -> None:
    notes = look_at(table(numbers(["x", "y"] * 30, when=cells))).notes
    assert any(f"such as '{name}'; mend them, or say --missing '{name}'" in note for note in notes)


def test_long_whole_numbers_are_names() -> None:
    look = look_at(table(numbers(["x", "y"] * 15, code=[f"9007199254740993{number:02}" for number in range(30)])))
    assert [one.kind for one in look.columns if one.name == "code"] == ["id"]


@pytest.mark.parametrize("cell", ["0x1F", "1_000"])
def test_hexadecimal_and_underscores_are_words(cell: str) -> None:
    look = look_at(table(numbers(["x", "y"] * 15, code=[cell, "b", "c"] * 10)))
    assert [one.kind for one in look.columns if one.name == "code"] == ["category"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ([""] * 30, "no row has a value|nothing|no column"),
        (["x"] * 30, "every answer|nothing|no column"),
        (["x"] * 29 + ["y"], "1 row; need at least 2"),
        ([f"w{number}" for number in range(30)], "nearly every answer|no column"),
        (["x", "y"] * 4 + [""] * 22, "at least 10 rows with an answer"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_named(target: list[str], said: str) -> None:
    with pytest.raises(HandrailError, match=said):
        look_at(table(numbers(target)), target="target")


def test_booleans_in_any_spelling_are_two_labels_or_one_kind() -> None:
    look = look_at(table(numbers(["x", "y"] * 20, flag=["yes", "N", "1", "TRUE", "no"] * 8)))
    assert [field.kind for field in look.inputs() if field.name == "flag"] == ["boolean"]


def test_amounts_that_no_model_holds_are_refused() -> None:
    with pytest.raises(HandrailError, match="at most 1e\\+15 is learnt"):
        look_at(table(numbers([f"{number}.5e300" for number in range(1, 41)])))


def test_a_class_with_one_row_is_left_out_and_told() -> None:
    look = look_at(table(numbers(["x", "y"] * 20 + ["z"])), target="target")
    assert look.labels == ("x", "y")
    assert any("'z'" in note or "z" in note for note in look.notes)


def test_useless_columns_are_left_out_with_a_reason() -> None:
    rows = 60
    content = numbers(
        ["x", "y"] * 30, one=["same"] * rows, none=[""] * rows, key=[f"k{number}" for number in range(rows)],
        again=["x1", "y1"] * 30, copy=[str(number * 7 % 13) for number in range(rows)],
    )  # fmt: skip
    kinds = {one.name: one.kind for one in look_at(table(content)).columns if not one.used}
    assert kinds == {
        "one": "constant",
        "none": "empty",
        "key": "id",
        "again": "leak",
        "copy": "duplicate",
        "target": "category",
    }


@pytest.mark.parametrize(
    "texts",
    [
        [
            f"这部电影{'非常好看' if number % 2 else '无聊透了'}{chr(0x4E00 + number)}演员表演精彩"
            for number in range(60)
        ],
        [f"หนังเรื่องนี้{chr(0x0E01 + number % 40)}{chr(0x0E01 + number // 40)}สนุกมาก" for number in range(60)],
        ["ab"[number % 2] * 14 + "".join(map(chr, (97 + number % 26, 97 + number // 26))) for number in range(60)],
    ],
)
def test_texts_without_blanks_are_texts(texts: list[str]) -> None:
    look = look_at(table("review,label\n" + "".join(f"{text},{'uv'[row % 2]}\n" for row, text in enumerate(texts))))
    assert [field.kind for field in look.inputs()] == ["text"]


def test_cities_without_blanks_are_words() -> None:
    look = look_at(table(numbers(["x", "y"] * 20, city=["北京", "上海", "呼和浩特市", "ツェルマット", "東京"] * 8)))
    assert [field.kind for field in look.inputs() if field.name == "city"] == ["category"]


def test_columns_that_are_set_aside_are_named_with_a_way_to_use_them() -> None:
    error = refused("word,one,label\n" + "".join(f"k{number}x,1,{'uv'[number % 2]}\n" for number in range(40)))
    assert "'word' (id: 40 different words" in error.problem
    assert "'one' (constant:" in error.problem
    assert error.mend == "--kind word=text learns from it all the same"


def test_a_hundred_thousand_columns_end_quickly() -> None:
    wide = ",".join(f"c{number}" for number in range(100_000))
    row = ",".join("1" for _ in range(100_000))
    assert "100,000 columns" in refused("\n".join([wide, *[row] * 10])).problem


@pytest.mark.parametrize(
    "dates",
    [["2024-02-29", "0001-01-01", "9999-12-31"], ["29.02.2024", "01.01.1999", "31.12.2020"],
     ["2024-01-01T10:00:00+02:00", "2024-01-01", "2023-05-05 10:00"], ["12/31/2024", "01/02/2023", "03/04/2022"],
     ["12-31-2024", "01-02-2023"], ["31/12/2020 00:00:00", "01/02/2021 10:00:00"],
     ["01/13/2020 12:00 AM", "01/02/2020 1:30 PM"], ["2020-01-01 00:00:00 UTC", "2020-05-01 01:00:00 UTC"],
     ["31 December 2024", "1 May 2023"]],
)  # fmt: skip
def test_dates_are_read_in_many_forms(dates: list[str]) -> None:
    look = look_at(table(numbers(["x", "y", "y", "x", "x"] * 6, when=(dates * 15)[:30])))
    assert [field.kind for field in look.inputs() if field.name == "when"] == ["date"]


def test_an_ambiguous_date_is_told() -> None:
    look = look_at(table(numbers(["x", "y"] * 15, when=["01/02/2023", "03/04/2022", "05/06/2021"] * 10)))
    assert any("day/month/year" in note for note in look.notes)


def test_a_gzip_bomb_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.data.read.LARGEST_BYTES", 1_000_000)
    error = refused(gzip.compress(b"a,b\n" * 2_000_000), "bomb.csv.gz")
    assert error.code == "too_large"


def free(monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    monkeypatch.setattr("handrail.data.memory.free_memory_bytes", lambda: mebibytes * 2**20)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "late.csv", "rows.parquet"])
def test_rows_that_take_far_more_memory_than_bytes_are_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    free(monkeypatch, 150)
    rows = b"1,2\n" * 1_000_000
    path = tmp_path / name
    if name == "rows.parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        pyarrow = pytest.importorskip("pyarrow")
        parquet.write_table(pyarrow.table({"a": [1] * 2_000_000, "b": [2] * 2_000_000}), path)
    else:
        early = b"x" * 2**20 + b"," if name == "late.csv" else b""
        path.write_bytes(gzip.compress(rows) if name.endswith(".gz") else b"a,b\n" + early + rows)
    with pytest.raises(HandrailError, match="GB") as caught:
        read_table(path)
    assert caught.value.code in ("environment", "too_large")


def test_a_workbook_that_unpacks_to_more_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 150)
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"<row/>" * 10_000_000)
    assert "when unpacked" in refused(book.getvalue(), "x.xlsx").problem


def test_a_huge_sparse_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(5 * 10**12)
    with pytest.raises(HandrailError, match="GB of memory"):
        read_table(path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "absent", "device", "forbidden name"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.csv"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "forbidden name":
        path = Path("a\0b.csv")
    with pytest.raises(HandrailError) as caught:
        read_table(path)
    assert caught.value.exit_status == 3


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text(GOOD)
    real = os.fstat
    calls = []

    def growing(descriptor: int) -> os.stat_result:
        if calls:
            with path.open("a") as file:
                file.write("more,a\n")
        calls.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr("handrail.data.read.os.fstat", growing)
    with pytest.raises(HandrailError, match="changed while it was read"):
        read_table(path)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_read(ends: str) -> None:
    assert len(table(GOOD.replace("\n", ends))) == 40


def test_comments_at_the_top_and_empty_lines_at_the_end_are_skipped() -> None:
    found = table("# made by hand\n# in May\n" + GOOD + "\n\n\n")
    assert list(found.columns) == ["text", "label"]
    assert len(found) == 40


def test_a_file_without_a_header_gets_names() -> None:
    found = table("".join(f"{number},{number * 2},{number % 2}\n" for number in range(30)))
    assert list(found.columns) == ["column_1", "column_2", "column_3"]
    assert len(found) == 30


@pytest.mark.parametrize(("top", "names"), [("#hi\n#there, you\n", ["text", "label"]), ("#", ["#text", "label"])])
def test_a_comment_needs_no_blank_and_a_header_may_begin_like_one(top: str, names: list[str]) -> None:
    rows = GOOD.replace("label", "label,more").replace(",a\n", ",a,1\n").replace(",b\n", ",b,2\n")
    assert list(table(top + rows).columns) == [*names, "more"]


def test_a_line_that_is_not_utf8_spoils_only_itself() -> None:
    rows = "".join(f"some words number {number} ü,{'ab'[number % 2]}\n" for number in range(40))
    found = table(b"text,label\n" + rows.encode() + "été,a\n".encode("cp1252"))
    assert str(found.columns["text"][0]).endswith("ü")
    assert found.columns["text"][40] == "été"
    assert "line 42 is not UTF-8: it is read as Windows-1252" in found.notes


def test_json_under_a_wrong_name_is_named_as_such() -> None:
    assert "JSON" in refused('{"a": 1, "label": "x"}\n' * 20).problem


def test_a_last_column_of_dates_is_not_guessed_as_the_answer() -> None:
    days = [f"2024-01-{1 + number % 28:02}" for number in range(40)]
    rows = "".join(f"{number * 7 % 13},{'uv'[number % 2]},{day}\n" for number, day in enumerate(days))
    assert look_at(table("a,b,when\n" + rows)).target == "b"


def book(sheets: dict[str, list[list[object]]]) -> bytes:
    """A workbook, as small as one may be."""
    schema = "http://schemas.openxmlformats.org"
    main, office = f"{schema}/spreadsheetml/2006/main", f"{schema}/officeDocument/2006/relationships"

    def links(targets: list[str], kind: str) -> str:
        each = (f'<Relationship Id="r{n}" Target="{to}" Type="{office}/{kind}"/>' for n, to in enumerate(targets, 1))
        return f'<Relationships xmlns="{schema}/package/2006/relationships">{"".join(each)}</Relationships>'

    named = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1))
    files = [f"worksheets/sheet{number}.xml" for number in range(1, len(sheets) + 1)]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("_rels/.rels", links(["xl/workbook.xml"], "officeDocument"))
        archive.writestr("xl/_rels/workbook.xml.rels", links(files, "worksheet"))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{named}</sheets></workbook>'
        )
        for file, rows in zip(files, sheets.values(), strict=True):
            lines = "".join(f"<row>{''.join(map(written, row))}</row>" for row in rows)
            archive.writestr(f"xl/{file}", f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>')
    return content.getvalue()


def written(cell: object) -> str:
    return f"<c><v>{cell}</v></c>" if isinstance(cell, int) else f'<c t="inlineStr"><is><t>{cell}</t></is></c>'


def test_a_sheet_that_explains_is_passed_over_and_the_header_can_be_denied() -> None:
    rows = [["size", "label"], *([number, "ab"[number % 2]] for number in range(30))]
    content = book({"read me": [["about", ""], ["made", "by hand"]], "data": rows})
    assert len(read_bytes(content, "x.xlsx")) == 30
    assert "sheet 'data' is read, not 'read me'" in read_bytes(content, "x.xlsx").notes
    assert list(read_bytes(content, "x.xlsx", header=False).columns) == ["column_1", "column_2"]


def test_a_parquet_file_is_read_as_strictly_as_json(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = [pyarrow.array([1, 2] * 10), pyarrow.array(["a", "b"] * 10), pyarrow.array([["x"], ["x", "y"]] * 10)]
    parquet.write_table(pyarrow.table(columns, names=["a", "a", ""]), tmp_path / "x.parquet")
    found = read_table(tmp_path / "x.parquet")
    assert list(found.columns) == ["a", "a_2", "column_3"]
    assert found.lists == ("column_3",)
    parquet.write_table(pyarrow.table({"a": [{"b": 1}] * 20}), tmp_path / "y.parquet")
    with pytest.raises(HandrailError, match="nested"):
        read_table(tmp_path / "y.parquet")


def test_words_and_years_are_a_header() -> None:
    rows = "".join(f"land {number % 7},{number}.5,{number * 3 % 11}.25,{number * 5 % 13}\n" for number in range(30))
    found = table("name,2019,2020,2021\n" + rows)
    assert list(found.columns) == ["name", "2019", "2020", "2021"]
    assert len(found) == 30


def test_a_row_that_holds_years_is_no_header() -> None:
    assert len(table("".join(f"land{row},{1950 + row},{1951 + row}\n" for row in range(30)))) == 30


def test_an_error_says_how_the_file_was_read() -> None:
    error = refused("".join("1;x\n" for _ in range(30)))
    assert "the separator is ';'" in error.mend
    assert "there is no header" in error.mend


def test_a_cell_that_is_off_is_named_by_file_and_line() -> None:
    content = "# made by hand\n" + numbers(["x", "y"] * 50, size=[*map(str, range(50, 149)), "inf"])
    assert refused(content).where == "rows.csv, line 102 (row 100, column 'size')"


def test_quote_marks_that_enclose_nothing_are_kept() -> None:
    rows = "".join(f'he said "hm number {number}\t{number % 2}\n' for number in range(30))
    found = table(rows, "x.tsv")
    assert len(found) == 30
    assert str(found.columns["column_1"][0]).startswith('he said "hm')


def test_rows_that_contradict_each_other_are_learnt_from() -> None:
    assert look_at(table(numbers(["x", "y"] * 20, same=["1", "2"] * 20))).rows == 40


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}\n[1]\n', "line 2"),
        ('{"a": {"b": 1}}\n', "nested"),
        ('{"a": NaN}\n', "NaN"),
        ('{"a": 1, "a": 2}\n', "twice"),
        ('{"a": 1\n', "line 1"),
    ],
)
def test_json_lines_are_read_strictly(content: str, said: str) -> None:
    error = refused(content, "x.jsonl")
    assert said in f"{error.problem} {error.where}"


def test_objects_with_different_names_are_joined() -> None:
    found = table('{"a": 1}\n{"b": "x"}\n', "x.jsonl")
    assert found.columns == {"a": [1, None], "b": [None, "x"]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"targett": "category"}, "Did you mean"),
        ({"a": "categry"}, "Did you mean 'category'"),
        ({"zzz": "number"}, "columns:"),
    ],
)
def test_a_wish_that_cannot_be_met_names_the_nearest(asked: dict[str, str], said: str) -> None:
    with pytest.raises(HandrailError) as caught:
        look_at(table(numbers(["x", "y"] * 20)), kinds=asked)
    assert said in caught.value.mend


def test_a_target_that_is_no_column_names_the_nearest() -> None:
    with pytest.raises(HandrailError, match="no column 'tarket'") as caught:
        look_at(table(numbers(["x", "y"] * 20)), target="tarket")
    assert "Did you mean 'target'?" in caught.value.mend
