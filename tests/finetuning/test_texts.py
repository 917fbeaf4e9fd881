"""Files of any size and encoding as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.finetuning.texts import PART_BYTES, read_text
from tests.finetuning.conftest import story

WORDS = {
    "utf-8": "Die Mühle steht still. Über Nacht fiel Schnee.\n",
    "utf-8-sig": "naïve café\n",
    "utf-16": "Die Mühle steht still.\n",
    "utf-32": "Die Mühle steht still.\n",
    "cp1252": "Die Mühle steht still, und die Fähre fährt über den Fluß.\n",
    "cp1251": "Мельница стоит, и паром идёт через реку.\n",
    "koi8_r": "Мельница стоит, и паром идёт через реку.\n",
    "shift_jis": "水車は止まり、渡し船は川を渡る。今日は雨です。\n",
    "gb18030": "水磨停了，渡船过河。今天下雨。\n",
    "euc_kr": "물레방아는 멈추고 나룻배는 강을 건넌다.\n",
}


@pytest.mark.parametrize("encoding", WORDS)
def test_text_is_read_whatever_its_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes((WORDS[encoding] * 30).encode(encoding))
    assert read_text(path, 2**20).parts == (WORDS[encoding] * 30,)


def test_an_encoding_that_is_given_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("Łódź\n".encode("cp1250"))
    assert read_text(path, 2**20, "cp1250").parts == ("Łódź\n",)


def test_an_encoding_that_does_not_fit_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"plain\nand then \xff\n")
    with pytest.raises(HandrailError, match="this is not utf-8") as caught:
        read_text(path, 2**20, "utf-8")
    assert caught.value.where == f"{path}, line 2"


def test_an_encoding_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"plain")
    with pytest.raises(HandrailError, match="there is no encoding 'klingon'"):
        read_text(path, 2**20, "klingon")


def test_a_file_larger_than_the_bound_is_read_in_evenly_spread_parts(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    line = "a line of words, number {:08d}\n"
    path.write_text("".join(line.format(number) for number in range(200_000)), encoding="utf-8")
    found = read_text(path, 3 * PART_BYTES)
    assert len(found.parts) == 3
    assert found.read_bytes == 3 * PART_BYTES < found.total_bytes
    assert found.parts[-1].endswith("number 00199999\n")
    assert all(part.startswith("a line of words") for part in found.parts[1:])
    assert "evenly spread" in found.notes[0]


def test_one_line_of_a_gigabyte_is_bounded_like_any_text(tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    with path.open("wb") as file:
        file.write("Wörter ohne Ende ".encode() * 200_000)
        file.truncate(2**30)
        file.seek(2**30 - PART_BYTES)
        file.write(b"words " * (PART_BYTES // 6 + 1))
    with pytest.raises(HandrailError):  # its middle is nothing but NUL characters
        read_text(path, 4 * PART_BYTES)
    found = read_text(path, PART_BYTES)
    assert sum(map(len, found.parts)) <= PART_BYTES


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(range(256)) * 40, b"PK\x03\x04" + bytes(50)]
)
def test_what_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "binary.txt"
    path.write_bytes(content)
    with pytest.raises(HandrailError) as caught:
        read_text(path, 2**20)
    assert caught.value.code == "data"


def test_line_ends_of_all_systems_become_one(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(story(2).replace("\n", "\r\n").encode())
    assert "\r" not in read_text(path, 2**20).parts[0]
