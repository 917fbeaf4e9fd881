"""YAML 1.2, strictly: what is read, with its place, and what is refused, with its place."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.deploy.problems import Place
from handrail.deploy.yaml import MAX_BYTES, Node, plain, read_yaml


def values(text: str) -> object:
    document = read_yaml(text.encode())
    assert document.problems == ()
    assert document.root is not None
    return plain(document.root)


def told(content: str | bytes) -> list[str]:
    document = read_yaml(content.encode() if isinstance(content, str) else content)
    return [f"{one.place.line}:{one.place.column}: {one.text}" for one in document.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("true", True), ("True", True),
     ("FALSE", False), ("0", 0), ("-12", -12), ("+3", 3), ("0o17", 15), ("0x1F", 31), ("1.5", 1.5), (".5", 0.5),
     ("2.", 2.0), ("1e3", 1000.0), ("-1.5E-2", -0.015)],
)  # fmt: skip
def test_plain_values_are_those_of_the_core_schema(text: str, expected: object) -> None:
    found = values(f"- {text}")
    assert found == [expected]
    assert type(found[0]) is type(expected)  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "off", "y", "n", "No", "12:30:45", "190:20:30", "0777", "1_000", "0b11", "2024-12-31", "00",
     "1.2.3", "tRUE", "nULL", "=", "0x", "1e", "+", ".", "01.5", "0o9", "{{7*7}}x", "${HOME}", "$(id)"],
)  # fmt: skip
def test_what_other_readings_guess_at_is_text(text: str) -> None:  # Y6, Y13
    assert values(f"- {text}" if "{{" not in text else f"- '{text}'") == [text]


@pytest.mark.parametrize("text", ['"true"', "'12'", '"~"', "'0x1F'", "|-\n  true", ">-\n  5"])
def test_in_quotes_everything_is_text(text: str) -> None:
    assert all(isinstance(value, str) for value in values(f"- {text}"))  # type: ignore[attr-defined]


def test_keys_are_texts_however_they_look() -> None:
    assert values("{1: a, true: b, null: c, 0777: d}") == {"1": "a", "true": "b", "null": "c", "0777": "d"}


def test_every_value_knows_its_place_and_that_of_its_key() -> None:
    root = read_yaml(b"# first\n- name: reviews\n  traffic: [a,\n    {b: 1}]\n").root
    assert root is not None
    assert isinstance(root.value, list)
    api = root.value[0]
    assert isinstance(api.value, dict)
    assert root.place == Place(2, 1)
    assert (api.value["name"].key, api.value["name"].place) == (Place(2, 3), Place(2, 9))
    inner = api.value["traffic"].value
    assert isinstance(inner, list)
    assert isinstance(inner[1].value, dict)
    assert inner[1].value["b"].place == Place(4, 9)


def test_a_number_keeps_how_it_was_written() -> None:
    root = read_yaml(b"[0x1F, 1e3]").root
    assert root is not None
    assert isinstance(root.value, list)
    assert [node.written for node in root.value] == ["0x1F", "1e3"]


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system ['touch m']", "!!python/name:os.system ''", "!!python/object/new:os.system [x]",
     "!!str 5", "!mine {a: 1}", "! x", "!!binary aGk=", "!<tag:yaml.org,2002:int> 5"],
)  # fmt: skip
def test_tags_are_refused(tag: str) -> None:  # Y1
    assert told(f"a: 1\nb:\n  - {tag}\n") == ["3:5: tags are not allowed"]


def test_tags_of_keys_and_of_the_document_are_refused_too() -> None:
    assert told("!!str a: 1") == ["1:1: tags are not allowed"]
    assert told("!!omap [a: 1]") == ["1:1: tags are not allowed"]
    assert told("%TAG ! tag:example.com,2000:\n---\n!x 1") == ["3:1: tags are not allowed"]


def test_aliases_anchors_and_merge_keys_are_refused() -> None:  # Y16
    assert told("a: &x 1\nb: *x\nc:\n  <<: *x\n  d: 1\n") == [
        "1:4: anchors are not allowed",
        "2:4: aliases are not allowed",
        "4:3: merge keys are not allowed",
        "4:7: aliases are not allowed",
    ]
    assert told("&a [*a]") == ["1:1: anchors are not allowed", "1:5: aliases are not allowed"]
    assert told("*a : 1") == ["1:1: aliases are not allowed"]


def test_a_text_that_looks_like_a_merge_key_is_a_key() -> None:
    assert values('{"<<": 1}') == {"<<": 1}


def test_a_bomb_of_aliases_is_refused_at_once() -> None:  # Y2
    names = "abcdefgh"
    lines = [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("z" + names, names, strict=False)
    ]
    assert_quick("\n".join(lines), "aliases are not allowed")


@pytest.mark.parametrize("opening", ["[", "{", "{a: ", "[{a: ", "- ", "? "])
def test_deep_nesting_is_refused_at_once(opening: str) -> None:  # Y3
    assert_quick(opening * 3000, "nested deeper than 20")


def test_many_values_are_refused_at_once() -> None:
    assert_quick("- a\n" * 10_001, "more than 10,000 values", within_s=2.0)


def test_as_many_values_and_levels_as_are_allowed_are_read() -> None:
    assert told("- a\n" * 9_999) == []
    assert told("[" * 20 + "]" * 20) == []
    assert told("[" * 21 + "]" * 21) == ["1:21: nested deeper than 20"]


def assert_quick(text: str, problem: str, within_s: float = 0.1) -> None:
    """The best of three, because the machine does other work as well."""
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        found = told(text)
        took.append(time.perf_counter() - begun)
        assert any(problem in line for line in found)
    assert min(took) <= within_s


def test_a_key_that_is_given_twice_is_told_with_both_lines() -> None:  # Y4
    assert told("target: 1\nb: 2\ntarget: 3\n") == ["3:1: the key 'target' is given twice (lines 1 and 3)"]
    assert told("{'1': a, 1: b}") == ["1:10: the key '1' is given twice (lines 1 and 1)"]


def test_keys_that_are_none_are_refused() -> None:
    assert told("? [a]\n: b\n") == ["1:3: expected a key, received a list or a mapping"]
    assert told(": b\n") == ["1:1: a key is missing before ':'"]


def test_a_second_document_is_refused() -> None:  # Y8
    assert told("a: 1\n---\nb: 2\n") == ["2:1: a second document begins here"]
    assert told("---\n---\n") == ["2:1: a second document begins here"]


def test_one_document_with_marks_is_read() -> None:
    assert values("%YAML 1.2\n---\na: 1\n...\n") == {"a": 1}


def test_yaml_of_another_version_is_refused() -> None:
    assert told("%YAML 1.1\n---\na: no\n") == ["1:1: this is read as YAML 1.2"]
    assert told("%YAML 3.0\n---\na: no\n")[0].endswith("YAML of another version; this is read as YAML 1.2")


@pytest.mark.parametrize("content", ["", "# only a comment\n", "---\n", "\n\n"])
def test_nothing_is_nothing(content: str) -> None:  # Y8
    document = read_yaml(content.encode())
    assert document.problems == ()
    assert document.root is not None
    assert document.root.value is None


@pytest.mark.parametrize("number", [".inf", "-.INF", ".nan", "1e999", "9" * 19, "1" * 101, "0x" + "f" * 17])
def test_numbers_that_neither_json_nor_a_machine_holds_are_refused(number: str) -> None:
    (line,) = told(f"a: {number}")
    assert line.startswith("1:4: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a:\r\n  - 1\r\n", {"a": [1]}),
        (b"a:\r  - 1\r", {"a": [1]}),
        (b"\xef\xbb\xbfa: 1", {"a": 1}),
        ("a: ü".encode("utf-16"), {"a": "ü"}),
        (b"\xfe\xff" + "a: ü".encode("utf-16-be"), {"a": "ü"}),
        ("a: '\U0001f600 e\u0301'".encode(), {"a": "\U0001f600 e\u0301"}),
    ],
)
def test_line_ends_and_encodings_of_any_editor_are_read(content: bytes, expected: object) -> None:  # Y7
    document = read_yaml(content)
    assert document.problems == ()
    assert document.root is not None
    assert plain(document.root) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: 1\n\tb: 2\n", "2:1: a tab where YAML has blanks"),
        (b"a: 1\nb:\n\t- 2\n", "3:1: a tab where YAML has blanks"),
        (b"a: 1\nname: caf\xe9\n", "2:10: this is not UTF-8 text"),
        (b"a: 1\nb: x\x00y\n", "2:5: the character U+0000 is not allowed here"),
        (b"a: 1\r\nb: \x1b[31m\r\n", "2:4: the character U+001B is not allowed here"),
        ("a: 1\nb: x\u2028y\n".encode(), "2:5: the character U+2028 is not allowed here"),
        ("a: 1".encode("utf-16-le"), "1:2: the character U+0000 is not allowed here"),
        (b"\xff\xfea\x00:", "1:2: this is not UTF-16-LE text"),
        (b"PK\x03\x04", "1:3: the character U+0003 is not allowed here"),
        (b"\x89PNG", "1:1: this is not UTF-8 text"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(content: bytes, expected: str) -> None:  # Y7
    assert told(content) == [expected]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: b: c\n", "1:5: a ':' where none can be; a text that holds ': ' stands in quotes"),
        ("a: 1\n  b: 2\n", "2:4: a ':' where none can be; a text that holds ': ' stands in quotes"),
        ("a:\n    b: 1\n  c: 2\n", "3:3: this line is indented more than those it belongs to"),
        ("- a\nb: 1\n", "2:1: this line does not line up with those above it"),
        ("a: 1\nb: [1, 2\n", "2:4: the list that begins here is not closed, or a ',' is missing"),
        ("a: {b: 1\n", "1:4: the mapping that begins here is not closed, or a ',' is missing"),
        ('a: "b\n', "1:4: the text that begins here is not closed"),
        ('a: "\\q"\n', "1:6: no escape of YAML; a text with backslashes stands in single quotes"),
        ('a: "\\UFFFFFFFF"\n', "1:7: an escape that stands for no character"),
        ('a: "\\ud800"\n', "1:4: an escape that stands for half a character"),
        ("a: @b\n", "1:4: a text that begins with this character stands in quotes"),
        ("a\nb: 1\n", "2:2: a ':' where none can be; a text that holds ': ' stands in quotes"),
    ],
)
def test_what_is_no_yaml_is_told_in_plain_words(content: str, expected: str) -> None:
    assert told(content) == [expected]


@given(st.binary(max_size=300))
def test_any_bytes_give_values_or_problems(content: bytes) -> None:
    document = read_yaml(content)
    assert document.root is not None or document.problems


@given(st.text(alphabet="-?:[]{},&*!|>'\"%@` \n\t#~ab1.0\\ux", max_size=200))
def test_any_signs_give_values_or_problems(text: str) -> None:
    document = read_yaml(text.encode())
    for problem in document.problems:
        assert problem.place.line >= 1
        assert problem.place.column >= 1
    if document.root is not None:
        plain(document.root)


# YAML lets a key have 1,024 letters, escapes included.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=40), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_json_is_read_as_json_reads_it(value: object) -> None:
    document = read_yaml(json.dumps(value).encode())
    assert document.problems == ()
    assert isinstance(document.root, Node)
    assert plain(document.root) == value


def test_the_largest_file_is_read_in_seconds() -> None:
    for part in (b"x ", b"# a comment\n", b"a: |\n x\n", b"'' "):
        begun = time.perf_counter()
        read_yaml(part * (MAX_BYTES // len(part)))
        assert time.perf_counter() - begun < 10
