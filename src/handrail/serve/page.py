"""The pages: which models there are, a form to try one, the API's reference; no script of others, nothing external."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import clipped
from handrail.core.field import Field
from handrail.core.signature import Signature
from handrail.core.values import date_example
from handrail.report.looks import SCRIPT_HASH
from handrail.serve.openapi_parts import ALWAYS

Json = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
ASSETS: Final = Path(__file__).with_name("assets")
CSS: Final = ASSETS.joinpath("page.css").read_text(encoding="utf-8")
LONGEST_SAMPLE: Final = 2_000


def script_of(page: str) -> str:
    """What a page runs: what all of them share, then its own."""
    return "".join(ASSETS.joinpath(name).read_text(encoding="utf-8") for name in ("common.js", page))


JS: Final = script_of("page.js")
WRITES: Final = "Writes on from a text, or answers messages."


def _hash(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


def _policy(content: str) -> Headers:
    closed = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    return (
        (b"content-security-policy", (closed + content).encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-cache"),
    )


def policy_of(script: str, style: str) -> Headers:
    """What a page of ours may do: run this script and look like this, ask us, and nothing else."""
    return _policy(f"script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; img-src data:")


PAGE_POLICY: Final = policy_of(JS, CSS)
DOCS_POLICY: Final = _policy(f"style-src {_hash(CSS)}; img-src data:")
# A report is a file of a bundle, perhaps a foreign one: only our own script runs in it, and not as a page of ours.
REPORT_POLICY: Final = _policy(
    f"style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{SCRIPT_HASH}'; sandbox allow-scripts"
)


def index_page(models: Sequence[Json]) -> bytes:
    """All models with their ways in."""
    cards = "".join(_card(model) for model in models)
    return drawn_page("Models", f"<nav>{links('')}</nav><h1>Models</h1><p class=soft>Served by Handrail.</p>{cards}")


def model_page(model: Json, signature: Signature) -> bytes:
    """A form drawn from the signature, examples one click away, the answer, and how to ask from a program."""
    name, path, act = escape(model["name"]), escape(_way(model)), "Search" if _searches(model) else "Predict"
    sample = json.dumps({"question": "…", "k": 5}, ensure_ascii=False) if _searches(model) else signature.sample_text()
    version = f" <span class=soft>version {model['version']}</span>" if model["version"] is not None else ""
    fields = "".join(_input(field, place) for place, field in enumerate(signature.inputs))
    # What came as vectors from elsewhere was not measured here, and its answers have no parts to explain.
    vectors = model["output"]["kind"] == "vector"
    report = "" if vectors else f'<a href="/{name}/report">Report: how good it is</a>'
    hidden = " hidden" if vectors else ""
    body = f"""<nav><a href="/">All models</a>{report}{links(name)}</nav>
<h1>{name}{version}</h1><p class=soft>{_purpose(model)}</p>
<noscript><p class=error>The form needs JavaScript; the requests below do not.</p></noscript>
<div class=columns><div><section class=card><h2>Try it</h2>{_examples(model)}
<form id=form autocomplete=off novalidate><div class=fields>{fields}</div>
<div class=act><button class=main>{act}</button>
<button type=button id=explain{hidden}>Predict and explain</button></div>
</form></section></div>
<div class=side><section class=card aria-live=polite><h2>Answer</h2>
<div id=answer><p class=soft>Fill the form, or press an example.</p></div></section>
<section class=card><h2>From a program</h2><p class="soft small">The same row, asked from elsewhere.</p>
<pre id=curl>curl -H 'content-type: application/json' -d '{escape(sample)}' …{path}</pre>
<pre id=python></pre></section></div></div>
<script type="application/json" id=model>{inert(model)}</script><script>{JS}</script>"""
    return drawn_page(model["name"], body)


def docs_page(document: Json) -> bytes:
    """The reference, drawn from the OpenAPI document."""
    operations = "".join(
        _operation(document, path, verb, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    )
    body = f"<h1>API</h1><p class=soft>{escape(document['info']['description'])} {_DOCS_TEXT}</p>"
    return drawn_page("API", f"<nav>{links('')}</nav>{body}{operations}{_refusals(document)}")


_DOCS_TEXT: Final = "For tools: <a href=/openapi.json>openapi.json</a>."


def drawn_page(title: str, body: str) -> bytes:
    """A page of ours around its body."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
    )
    head += f"<title>{escape(title)} · Handrail</title><style>{CSS}</style></head>"
    return f"{head}<body><main>{body}</main></body></html>".encode()


def links(name: str) -> str:
    """The links on top of every page; those of all models where it is not of one."""
    models = "" if name else '<a href="/">Models</a>'
    return f'{models}<a href="/docs">API</a><a href="/openapi.json">openapi.json</a><a href="/metrics">Metrics</a>'


def _card(model: Json) -> str:
    name = escape(model["name"])
    version = "" if model["version"] is None else f" <span class=soft>version {model['version']}</span>"
    report = "" if model["output"]["kind"] == "vector" else f' · <a href="/{name}/report">Report</a>'
    return (
        f'<section class=card><h2><a href="/{name}#try">{name}</a>{version}</h2>'
        f"<p>{_purpose(model)}</p>"
        f'<p class=small><a href="/{name}">Try it</a>{report} · '
        f"<code>POST {escape(_way(model))}</code></p></section>"
    )


def _writes(model: Json) -> bool:
    return bool(model["output"]["kind"] == "text")


def _searches(model: Json) -> bool:
    return bool(model["task"] == "search")


def _way(model: Json) -> str:
    """The path that a person asks first."""
    if _writes(model):
        return str(model["generate"])
    return f"/{model['name']}/search" if _searches(model) else str(model["predict"])


def _purpose(model: Json) -> str:
    """What the model is for, in a sentence."""
    if _searches(model):
        return "Finds the passages that mean most nearly what a question asks."
    if _writes(model):
        return WRITES
    return f"Predicts <b>{escape(model['output']['name'])}</b>{_of_what(model)}."


def _of_what(model: Json) -> str:
    labels = model["output"]["labels"]
    if model["output"]["kind"] == "number":
        kind = ", a number,"
    elif model["output"]["kind"] == "vector":
        kind = f", a vector of {model['output']['size']:,} numbers,"
    else:
        rest = f" and {len(labels) - 6} more" if len(labels) > 6 else ""
        kind = " (" + escape(", ".join(label[:40] for label in labels[:6])) + rest + ")"
    count = len(model["inputs"])
    return f"{kind} from {count} field{'s' if count > 1 else ''}"


def _examples(model: Json) -> str:
    buttons = "".join(
        f'<button type=button data-example="{place}">{place + 1} · {escape(_short(example))}</button>'
        for place, example in enumerate(model["examples"])
    )
    if not buttons:
        return ""
    words = "Rows with the answers it gave when it was made; press one:"
    return f'<p class="soft small">{words}</p><div class=examples>{buttons}</div>'


def _short(example: Json) -> str:
    """An example in a few letters: its answer, or, where that is a vector, what it is of."""
    answer: Json = example["answer"]
    if "vector" in answer:
        first = next(iter(example["input"].values()))
        return clipped(first if isinstance(first, str) else ", ".join(f"{number:.3g}" for number in first[:4]), 30)
    if "value" in answer:
        value = answer["value"]
        return f"{value:,.0f}" if 1_000 <= abs(value) < 1e12 else f"{value:.4g}"
    return str(answer.get("label") or ", ".join(answer.get("labels", ())) or "none")[:40]


def _input(field: Field, place: int) -> str:
    identity = f'id=field{place} data-field="{escape(field.name)}" data-kind={field.kind}' + (
        " data-optional" if field.optional else ""
    )
    sample = "" if field.sample() is None else str(field.sample())
    wide = " class=wide" if field.kind in ("text", "vector") else ""
    hint = _hint(field)
    note = f" <span>{escape(hint)}</span>" if hint else ""
    label = f"<label for=field{place}>{escape(field.name)}{note}</label>"
    return f"<div{wide}>{label}{_control(field, identity, sample)}</div>"


def _control(field: Field, identity: str, sample: str) -> str:
    if field.kind in ("text", "vector"):
        return f"<textarea {identity} maxlength=100000>{escape(sample)}</textarea>"
    if field.kind == "boolean":
        return f"<select {identity}>{_choices(('true', 'false'), sample.lower(), field.optional)}</select>"
    if field.kind == "category" and field.choices:
        return f"<select {identity}>{_choices(field.choices, sample, field.optional)}</select>"
    mode = " inputmode=decimal" if field.kind == "number" else ""
    return f'<input {identity}{mode} value="{escape(sample)}">'


def _choices(choices: Iterable[str], chosen: str, optional: bool) -> str:
    known = tuple(choices)
    # What the sample says is always among the choices, also where the list was cut.
    words = known if chosen in known or not chosen else (*known, chosen)
    blank = '<option value="">–</option>' if optional else ""
    return blank + "".join(
        f'<option value="{escape(word)}"{" selected" if word == chosen else ""}>{escape(word)}</option>'
        for word in words
    )


def _hint(field: Field) -> str:
    if field.kind == "number" and field.minimum is not None and field.maximum is not None:
        hint = f"{field.minimum:g} to {field.maximum:g}"
    elif field.kind == "vector":
        hint = f"a list of {field.size:,} numbers"
    elif field.kind == "date":
        hint = f"like {date_example(field.pattern)}"
    else:
        hint = ""
    return ", ".join(part for part in (hint, "may be empty" if field.optional else "") if part)


def _operation(document: Json, path: str, verb: str, operation: Json) -> str:
    schemas = document["components"]["schemas"]
    name = operation["tags"][0]
    row, answer = schemas.get(f"{name}.row", {}), schemas.get(f"{name}.answer", {})
    body = operation.get("requestBody", {}).get("content", {})
    done = operation["responses"].get("200") or operation["responses"]["202"]
    answers = done.get("content", {})
    tables = _fields("Field", row) + _fields("Answer", answer) if path == f"/{name}/predict" else ""
    more = ", ".join(
        status
        for status in sorted(operation["responses"])
        if status.isdigit() and status not in ("200", "202", *ALWAYS)
    )
    refused = f"<p class='soft small'>Refused with {more} as well, see below</p>" if more else ""
    about = f"<p class=soft>{escape(operation['description'])}</p>" if "description" in operation else ""
    return (
        f"<section class=card><h2><span class=verb>{verb.upper()}</span> <code>{escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}</p>{about}{_kinds('Body', body)}{_kinds('Answer', answers)}"
        f"{_parameters(operation)}{tables}{_sample(body)}{refused}</section>"
    )


def _kinds(title: str, contents: Json) -> str:
    kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in contents)
    return f"<p class=small>{title}: {kinds}</p>" if kinds else ""


def _parameters(operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(_type(one['schema']))}, {one['in']}</td>"
        f"<td class=soft>{escape(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", ())
    )
    return f"<table class=reference><tr><th>Option</th><th>Type</th><th></th></tr>{rows}</table>" if rows else ""


def _fields(title: str, schema: Json) -> str:
    left_out = {name for name in schema.get("properties", {}) if name not in schema["required"]}
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}</td>"
        f"<td class=soft>{escape(field.get('description', ''))}{' (optional)' if name in left_out else ''}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table class=reference><tr><th>{title}</th><th>Type</th><th></th></tr>{rows}</table>" if rows else ""


def _sample(body: Json) -> str:
    examples = body.get("application/json", {}).get("examples", {})
    example = next((item["value"] for item in examples.values()), None)
    text = json.dumps(example, indent=1, ensure_ascii=False)
    return "" if example is None else f"<p></p><pre>{escape(_cut(text))}</pre>"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SAMPLE else text[: LONGEST_SAMPLE - 1] + "…"


def _refusals(document: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{status}</code></td><td>{escape(response['description'])}</td></tr>"
        for status, response in document["components"]["responses"].items()
    )
    shape = escape('{"error": {"code", "message", "hint", "request_id", …}}')
    return f"<section class=card><h2>Refusals</h2><p>One shape: <code>{shape}</code></p><table>{rows}</table></section>"


def _type(field: Json) -> str:
    kinds = field.get("type", "anything")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def inert(value: Json) -> str:
    """JSON that can stand inside a script element: no character in it can end the element."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
