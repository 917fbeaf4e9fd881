"""HTML that is escaped by construction: text becomes markup only through `tag`, which escapes what is not Html."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

# Characters that HTML may not hold, or that turn the reading direction of what follows.
UNPRINTABLE: Final = {
    code: "\ufffd"
    for code in (*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFFFE, 0xFFFF)
    if code not in (0x09, 0x0A)
} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
VOID: Final = frozenset({"meta", "input", "br"})


@dataclass(frozen=True)
class Html:
    """Markup that is safe to put into a page as it stands."""

    text: str


Child = Html | str | int | None
NOTHING: Final = Html("")


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """`<name attributes>children</name>`, text and attribute values escaped.

    `class_` becomes class, other underscores hyphens; an attribute that is None or False is left out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children).text}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Several pieces one after the other, text escaped, None left out."""
    pieces = (child.text if isinstance(child, Html) else escaped(str(child)) for child in children if child is not None)
    return Html("".join(pieces))


def escaped(text: str) -> str:
    """`text` as HTML text or inside a quoted attribute."""
    return html.escape(text.translate(UNPRINTABLE), quote=True)


def shortened(value: object, limit: int) -> str:
    """A value as text of at most `limit` characters."""
    words = {None: "–", True: "yes", False: "no"}
    text = words[value] if value is None or isinstance(value, bool) else " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def section(anchor: str, title: str, sentence: Child, *children: Child, class_: str | None = None) -> Html:
    """A part of the page: its heading, what it means in one plain sentence, then the rest."""
    said = tag("p", sentence) if sentence else None
    return tag("section", tag("h2", title), said, *children, id=anchor, class_=class_)


def absent(anchor: str, title: str, reason: object) -> Html:
    """A part of the page that only says why it holds nothing; NOTHING where no reason is known."""
    return section(anchor, title, str(reason)) if reason else NOTHING


def table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[Child]]) -> Html:
    """A table that scrolls sideways in narrow windows; `heads` are (words, class of the column) pairs."""
    kinds = [kind or None for _, kind in heads]
    head = tag("tr", *(tag("th", words, class_=kind, scope="col") for words, kind in heads))
    body = (tag("tr", *(tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True))) for row in rows)
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll")


def figure(title: str, picture: Html, *under: Child) -> Html:
    """A picture with its heading and what stands under it."""
    return tag("div", tag("h3", title), picture, *under)


def facts(pairs: Sequence[tuple[Any, ...]]) -> Html:
    """(word, text) pairs as a list; those without a text are left out."""
    kept = [(word, text) for word, text in pairs if text]
    return tag("dl", *(tag(name, str(text)) for pair in kept for name, text in zip(("dt", "dd"), pair, strict=True)))
