"""JSON by a schema: whole whatever the model's numbers are, and hostile schemas are refused in words, soon."""

import json
import time

import pytest

from handrail.core.errors import HandrailError
from handrail.generate.generator import Generator
from handrail.generate.grammar import Grammars
from handrail.generate.settings import Settings
from tests.generate.stand_ins import END, HashDecoder, Words

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["the", "END", "é"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def answers(schema, *, max_tokens=200, **settings):
    subject = Generator(HashDecoder(window=512), Words())
    wanted = Settings(json_schema=schema, max_tokens=max_tokens, seed=1, **settings)
    return subject.answer([[number, 1, 2] for number in range(12)], wanted)


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    return schema


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0}, {"temperature": 1}, {"temperature": 10}, {"temperature": 10, "top_k": 3},
        {"top_p": 0.5, "repetition_penalty": 2.0}, {"ignore_end": True}, {"min_p": 0.5, "presence_penalty": 2.0},
    ],
    ids=str,
)  # fmt: skip
def test_random_numbers_write_json_that_obeys_the_schema(settings):
    for (found,) in answers(PERSON, **settings):
        assert found.finish == "stop"
        person = json.loads(found.text)
        assert set(person) == {"name", "age", "tags"}
        assert len(person["name"]) <= 8 and 0 <= person["age"] <= 150 and len(person["tags"]) <= 3


def test_each_of_n_keeps_to_the_schema_by_itself():
    many = answers({"type": "array", "items": {"type": "boolean"}, "maxItems": 4}, n=3)
    assert len({json.dumps(json.loads(found.text)) for some in many for found in some}) > 3


def test_any_object_can_be_asked_for():
    for (found,) in answers("json_object", max_tokens=400):
        assert found.finish == "length" or isinstance(json.loads(found.text), dict)
        assert found.text.startswith("{")


def test_what_is_cut_by_max_tokens_says_so():
    assert {found.finish for (found,) in answers(PERSON, max_tokens=5)} == {"length"}


def test_tokens_and_stop_strings_count_within_json_too():
    for (found,) in answers({"enum": ["abENDc"]}, stop=("END",)):
        assert (found.text, found.finish) == ('"ab', "stop")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "no such type"},
        {"type": "array", "uniqueItems": True},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "string", "pattern": "("},
        {"type": "integer", "multipleOf": 1000003, "minimum": 1, "maximum": 10**15},
        {"type": 7},
        {"enum": []},
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_met_is_refused_in_words(schema):
    with pytest.raises(HandrailError) as caught:
        Grammars(Words()).grammar(schema)
    assert (caught.value.code, caught.value.field) == ("data", "json_schema")
    assert len(caught.value.problem) < 400 and "\n" not in caught.value.problem


@pytest.mark.parametrize(
    "schema",
    [
        nested(30),
        {"type": "string", "pattern": "^((a{1,1000}){1,1000}){1,1000}$"},
        {"type": "string", "pattern": "^(a|aa|aaa)*(b|bb)*.{1000}[ab].{1000}$"},
        {"type": "string", "pattern": "(.*a){20}.*b(.*c){20}"},
        {"type": "string", "minLength": 10**6},
        {"type": "array", "items": {"type": "integer"}, "minItems": 10**6, "maxItems": 10**7},
        {"enum": [f"v{number}" for number in range(5000)]},
        {"anyOf": [{"type": "object", "properties": {f"k{number}": {"type": "string"}}} for number in range(500)]},
        {"type": "object", "properties": {f"k{number}": {"type": "string"} for number in range(1500)}},
        {
            "allOf": [
                {"anyOf": [{"type": "object", "properties": {f"p{row}{column}": {}}} for column in range(8)]}
                for row in range(8)
            ]
        },
        {
            "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(25)} | {"d25": {}},
            "$ref": "#/$defs/d0",
        },
    ],
    ids=lambda schema: str(schema)[:50],
)
def test_a_hostile_schema_is_done_with_soon_one_way_or_the_other(schema):
    subject = Generator(HashDecoder(window=512), Words())
    well = subject.submit([1, 2, 3], Settings(max_tokens=20, ignore_end=True))
    began, ended = time.process_time(), {}
    try:
        subject.submit([1, 2, 3], Settings(json_schema=schema, max_tokens=60))
    except HandrailError as error:
        assert error.field == "json_schema"
    while not subject.is_idle:
        ended |= {piece.id: piece for piece in subject.step() if piece.finish}
    assert time.process_time() - began < 3
    assert ended[well].finish == "length"
    assert all(piece.finish != "failed" or piece.problem.field == "json_schema" for piece in ended.values())


def test_a_schema_that_would_hold_up_all_others_is_refused():
    grammars = Grammars(Words())
    wide = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(1_000)}}
    wider = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(2_000)}}
    assert grammars.grammar(wide).allowed().any()
    with pytest.raises(HandrailError, match="too big"):
        grammars.grammar(wider)


def test_a_schema_cannot_change_how_it_is_read():
    for (found,) in answers({"type": "boolean", "x-guidance": {"whitespace_pattern": "x*"}}):
        assert isinstance(json.loads(found.text), bool)


def test_a_stream_of_json_that_broke_goes_on():
    settings = Settings(json_schema=PERSON, seed=4, max_tokens=200)
    whole = Generator(HashDecoder(), Words()).answer([[1, 2]], settings)[0][0]
    subject = Generator(HashDecoder(), Words())
    subject.submit([1, 2], settings, resume=whole.tokens[:9])
    pieces = []
    while not subject.is_idle:
        pieces += subject.step()
    assert tuple(token for piece in pieces for token in piece.tokens) == whole.tokens[9:]


def test_tokens_that_broke_the_schema_before_cannot_be_resumed():
    with pytest.raises(HandrailError) as caught:
        Generator(HashDecoder(), Words()).submit([1], Settings(json_schema=PERSON), resume=list(b"[1"))
    assert caught.value.field == "json_schema"


def test_a_tokenizer_without_an_end_works():
    words = Words()
    words.ends = frozenset()
    found = Generator(HashDecoder(), words).answer([[1]], Settings(json_schema=PERSON, seed=1, max_tokens=200))
    assert json.loads(found[0][0].text)
    assert END not in found[0][0].tokens
