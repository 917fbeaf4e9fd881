"""`handrail client`: a typed Python client for a model, drawn from its signature, or a curl line."""

from __future__ import annotations

import json
import keyword
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError, closest
from handrail.faces.cli.options import once, opened, shared
from handrail.faces.cli.printing import put, put_json
from handrail.faces.cli.top import ADDRESS, address_of
from handrail.faces.cli.writing_client import writing_client, writing_curl_line

if TYPE_CHECKING:
    from handrail.core.field import Field
    from handrail.core.signature import Output
    from handrail.model import Model

LANGUAGES = ("python", "curl")
MOST_LITERALS = 64
MOST_CHOICES_SHOWN = 6
TYPES = {"number": "float", "boolean": "bool", "vector": "Sequence[float]"}
# Inside the class these words have to go on meaning what they mean outside.
TAKEN = {"bool", "float", "str", "list", "dict", "Sequence", "Label"}


def language(option: str, text: str) -> str:
    """One of the languages."""
    if text not in LANGUAGES:
        near = closest(text, LANGUAGES)
        said = f"; did you mean '{near}'?" if near else ""
        problem = f"{option} must be {' or '.join(LANGUAGES)}, received '{text[:60]}'{said}"
        raise HandrailError("usage", problem, f"for example {option} python", field="lang")
    return text


@click.command("client", epilog="Example: handrail client reviews > reviews_client.py")
@click.argument("name")
@once("--lang", read=language, metavar="LANG", help="python (default) or curl.")
@once("--url", metavar="URL", help=f"Where the model is served (default {ADDRESS}).")
@shared
def command(name: str, lang: str | None, url: str | None, as_json: bool) -> None:
    """Write a typed client for a model: one Python file that needs nothing else, or a curl line. No server is asked."""
    model, address = opened(name), address_of(url or ADDRESS)
    if model.writes:
        text = (
            writing_curl_line(model.name, address, key_header())
            if lang == "curl"
            else writing_client(model.name, address)
        )
    else:
        text = curl_line(model, address) if lang == "curl" else python_client(model, address)
    if as_json:
        put_json({"model": model.name, "lang": lang or "python", "url": address, "text": text})
    else:
        put(text.rstrip("\n"))


def curl_line(model: Model, address: str) -> str:
    """A request that works: the shortest of the model's examples. With keys in the store, the key in HANDRAIL_KEY is
    shown."""
    key = key_header()
    row = json.dumps(sample_of(model), ensure_ascii=False)
    return f"curl {address}/{model.name}/predict -H 'content-type: application/json'{key} -d {shlex.quote(row)}\n"


def python_client(model: Model, address: str) -> str:
    """The source of a module with `Row`, `Answer`, `Refused` and `Client`. Nothing that a bundle says stands outside of
    a quoted string, so that none of it can run."""
    signature = model.signature
    names = attributes(field.name for field in signature.inputs)
    return "\n".join(
        [
            f'"""A client for the model {model.name}, written by `handrail client`. It needs Python 3.10 alone.\n',
            USAGE,
            f"URL = {quoted(address)}",
            f"PATH = {quoted(f'/{model.name}/predict')}",
            *_label(signature.output),
            *_row(signature.inputs, names),
            *_answer(signature.output),
            CLIENT,
            *_example(sample_of(model), names),
        ]
    )


def key_header() -> str:
    """What curl says where a key is asked for."""
    from handrail.serve.keys import keys_at, read_keys

    file = keys_at(None)
    return ' -H "authorization: Bearer $HANDRAIL_KEY"' if file is not None and read_keys(file) else ""


def sample_of(model: Model) -> dict[str, Any]:
    """The shortest of the model's examples, as an object, or a row made from its signature."""
    rows = [example["input"] for example in model.examples] or [model.signature.sample_row()]
    row = min(rows, key=lambda row: len(json.dumps(row)))
    return dict(row) if isinstance(row, Mapping) else {model.signature.inputs[0].name: row}


def attributes(names: Iterable[str]) -> dict[str, str]:
    """Field → a name that Python lets an attribute have; each is given once."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", name)).strip("_") or "field"
        plain = plain if plain.isidentifier() else f"field_{plain}"
        plain = plain if plain.isidentifier() else "field"
        if keyword.iskeyword(plain) or plain in TAKEN:
            plain += "_"
        free, number = plain, 2
        while free in found.values():
            free, number = f"{plain}_{number}", number + 1
        found[name] = free
    return found


def _label(output: Output) -> list[str]:
    if output.kind not in ("label", "labels"):
        return []
    literal = output.labels and len(output.labels) <= MOST_LITERALS
    return [f"Label = Literal[{', '.join(map(quoted, output.labels))}]" if literal else "Label = str"]


def _row(fields: Iterable[Field], names: Mapping[str, str]) -> list[str]:
    lines = ["\n\n@dataclass(frozen=True, kw_only=True)", "class Row:", '    """What goes in."""\n']
    for field in fields:
        kind = TYPES.get(field.kind, "str")
        note = _note(field)
        optional = " | None = None" if field.optional else ""
        lines.append(f"    {names[field.name]}: {kind}{optional}" + (f"  # {note}" if note else ""))
    pairs = ", ".join(f"{quoted(attribute)}: {quoted(name)}" for name, attribute in names.items())
    return [*lines, f"\n\n# Attribute: what the model calls it.\nFIELDS = {{{pairs}}}"]


def _note(field: Field) -> str:
    """What training saw, in characters that cannot end a comment."""
    if field.kind == "number" and field.minimum is not None and field.maximum is not None:
        return f"{field.minimum:g} to {field.maximum:g}"
    if field.kind == "date":
        return f"a date like {quoted(str(field.sample()))}"
    if field.kind == "vector":
        return f"{field.size:,} numbers"
    return ", ".join(quoted(choice[:40]) for choice in field.choices[:MOST_CHOICES_SHOWN])


ANSWERS = {
    "label": {"label": "Label", "probability": "float", "probabilities": "dict[Label, float]"},
    "labels": {"labels": "list[Label]", "probabilities": "dict[Label, float]"},
    "number": {"value": "float", "low": "float", "high": "float"},
    "vector": {"vector": "list[float]"},
}


def _answer(output: Output) -> list[str]:
    lines = [f"    {name}: {kind}" for name, kind in ANSWERS[output.kind].items()]
    taken = ", ".join(f"found[{quoted(name)}]" for name in ANSWERS[output.kind])
    return [
        "\n\n@dataclass(frozen=True)", "class Answer:", '    """What comes out."""\n', *lines,
        "\n\ndef _answer(found: Any) -> Answer:", f"    return Answer({taken})\n\n",
    ]  # fmt: skip


def _example(row: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    given = ", ".join(f"{names[name]}={_literal(value)}" for name, value in row.items() if name in names)
    return ['\n\nif __name__ == "__main__":', f"    print(Client().predict(Row({given})))\n"]


def _literal(value: Any) -> str:
    if isinstance(value, list) and len(value) > 1 and len(set(value)) == 1:
        return f"[{value[0]!r}] * {len(value)}"
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """A text as a string of Python, in double quotes where that takes no escapes."""
    literal = repr(text)
    return literal if '"' in text or literal[0] == '"' else f'"{literal[1:-1]}"'


USAGE = '''    client = Client()
    answer = client.predict(Row(...))
    answers = client.predict_all([Row(...), Row(...)])

Where the server asks for a key, it is read from HANDRAIL_KEY.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
'''
CLIENT = '''class Refused(Exception):
    """The server said no: `code` and the message say why, `hint` what to do, `retry_after_s` when to ask again."""

    def __init__(self, status: int, error: dict[str, Any], retry_after: str | None) -> None:
        super().__init__(error.get("message", f"HTTP status {status}"))
        self.status = status
        self.code = str(error.get("code", "unknown"))
        self.hint = str(error.get("hint", ""))
        self.field: str | None = error.get("field")
        self.request_id: str | None = error.get("request_id")
        self.retry_after_s = float(retry_after) if retry_after and retry_after.isdigit() else None


class Client:
    """Asks the model over HTTP. Raises Refused for what the server refuses, OSError when it cannot be reached."""

    def __init__(self, url: str = URL, *, key: str | None = None, timeout_s: float = 30.0) -> None:
        self._address = url.rstrip("/") + PATH
        self._key = os.environ.get("HANDRAIL_KEY", "") if key is None else key
        self._timeout_s = timeout_s

    def predict(self, row: Row) -> Answer:
        """The answer for one row."""
        return _answer(self._asked(_object(row)))

    def predict_all(self, rows: Sequence[Row]) -> list[Answer]:
        """The answers for rows, in their order."""
        return [_answer(found) for found in self._asked([_object(row) for row in rows])]

    def _asked(self, body: object) -> Any:
        headers = {"content-type": "application/json", "x-deadline-ms": str(max(1, int(self._timeout_s * 1000)))}
        request = urllib.request.Request(self._address, json.dumps(body).encode(), headers, method="POST")
        if self._key:
            # It does not follow to where a redirect points.
            request.add_unredirected_header("authorization", f"Bearer {self._key}")
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, _error(error.read()), error.headers.get("retry-after")) from None


def _object(row: Row) -> dict[str, Any]:
    return {name: getattr(row, attribute) for attribute, name in FIELDS.items()}


def _error(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}'''
