"""Documents from files, folders, patterns, tables and rows in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.finetuning.balance import balanced
from handrail.finetuning.documents import Reading
from handrail.finetuning.reading import read_documents


def read(*sources: object, **options: Any) -> Reading:
    return read_documents(sources, most_bytes=2**22, **options)


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_a_file_is_one_document_unless_marks_part_it(tmp_path: Path) -> None:
    assert len(read(written(tmp_path / "a.txt", "one\n\ntwo\n")).documents) == 1
    marked = written(tmp_path / "b.txt", "<|startoftext|>one<|endoftext|>\n<|startoftext|>two<|endoftext|>")
    assert [document.text for document in read(marked).documents] == ["one", "two"]


def test_a_folder_is_a_document_for_each_file_and_leaves_out_what_is_no_text(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "first")
    written(tmp_path / "deep" / "b.md", "second")
    written(tmp_path / ".hidden.txt", "no")
    written(tmp_path / "c.bin", "no")
    (tmp_path / "d.txt").write_bytes(b"\x89PNG\r\n" + bytes(99))
    found = read(tmp_path)
    assert sorted(document.text for document in found.documents) == ["first", "second"]
    assert any("left out 1 of 3 files" in note for note in found.notes)


def test_a_pattern_takes_the_files_that_match(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.log"):
        written(tmp_path / name, name)
    assert [document.text for document in read(tmp_path / "*.txt").documents] == ["a.txt", "b.txt"]
    with pytest.raises(HandrailError, match="no file is called like that"):
        read(tmp_path / "*.doc")


def test_a_csv_of_one_column_is_a_document_a_row_and_blank_rows_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "tweets.csv", 'text\n"first, with a comma"\n""\n"second"\n')
    found = read(path)
    assert [document.text for document in found.documents] == ["first, with a comma", "second"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Who?", "answer": "Anna."},
        {"question": "Who?", "answer": "Anna."},
        {"instruction": "Who?", "input": "", "output": "Anna."},
        {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Anna."}]},
        {"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Anna."}]},
    ],
)
def test_questions_with_answers_are_conversations_however_their_columns_are_called(
    row: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tmp_path / "rows.jsonl", json.dumps(row) + "\n" + json.dumps(row) + "\n")
    found = read(path)
    wanted = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Anna."})
    assert [document.messages for document in found.documents] == [wanted, wanted]


def test_parquet_with_nested_messages_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Anna."}]
    parquet.write_table(pyarrow.table({"messages": [messages] * 3}), tmp_path / "rows.parquet")
    assert len(read(tmp_path / "rows.parquet").documents) == 3


def test_several_columns_of_text_have_to_be_told_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", "left,right\nsome words,other words\nmore words,still more\n")
    with pytest.raises(HandrailError, match="several columns hold text") as caught:
        read(path)
    assert "--column" in caught.value.mend
    assert [document.text for document in read(path, column="right").documents] == ["other words", "still more"]
    with pytest.raises(HandrailError, match="no column 'rigth'") as caught:
        read(path, column="rigth")
    assert "right" in caught.value.mend


def test_what_is_off_in_a_conversation_names_the_row(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            {"messages": [{"role": "king", "content": "a"}]}]  # fmt: skip
    path = written(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(HandrailError, match="the role 'king'") as caught:
        read(path)
    assert caught.value.where is not None
    assert caught.value.where.endswith("row 2")


def test_json_that_is_none_names_the_line(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", '{"text": "fine"}\n{"text": \n')
    with pytest.raises(HandrailError, match="not valid JSON") as caught:
        read(path)
    assert caught.value.where == f"{path}, line 2"


@pytest.mark.parametrize("content", ["", "   \n \n"])
def test_a_file_that_says_nothing_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(HandrailError, match="empty"):
        read(written(tmp_path / "a.txt", content))


def test_a_path_that_is_none_comes_with_the_nearest(tmp_path: Path) -> None:
    written(tmp_path / "shakespeare.txt", "words")
    with pytest.raises(HandrailError, match="no such file") as caught:
        read(tmp_path / "shakespear.txt")
    assert "shakespeare.txt" in caught.value.mend


def test_rows_in_memory_are_read() -> None:
    assert [one.text for one in read(["a", "b"]).documents] == ["a", "b"]
    assert read([{"prompt": "a", "answer": "b"}]).is_dialogue
    with pytest.raises(HandrailError, match="row 1"):
        read([7])


def test_sources_of_the_same_weight_are_cut_to_the_smallest(tmp_path: Path) -> None:
    small, large = written(tmp_path / "a.txt", "a" * 100), written(tmp_path / "b.txt", "b" * 1_000)
    found = balanced(read(small, large), seed=0)
    assert [document.characters for document in found.documents] == [100, 100]
