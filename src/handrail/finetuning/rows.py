"""Rows to documents: one column of text, a question with its answer, or the messages of a conversation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.finetuning.documents import Document, Message

Row = Mapping[str, Any]

TEXT_NAMES: Final = ("text", "content", "body", "document", "passage", "story", "sentence")
MESSAGE_NAMES: Final = ("messages", "conversations", "conversation", "dialogue", "chat")
# What is asked and what is to be answered, the first two that are both there.
PAIR_NAMES: Final = (
    ("prompt", "answer"), ("prompt", "completion"), ("prompt", "response"), ("prompt", "output"),
    ("question", "answer"), ("instruction", "output"), ("instruction", "response"), ("instruction", "answer"),
    ("query", "response"), ("query", "answer"), ("input", "output"), ("user", "assistant"),
)  # fmt: skip
BESIDE_NAMES: Final = ("input", "context")
ROLES: Final = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant",
                "prompter": "user"}  # fmt: skip
KNOWN_ROLES: Final = ("system", "user", "assistant", "tool")
# A column whose cells are so many times as long as those of the next is the one with the text.
CLEARLY_LONGER: Final = 3.0
EXAMPLE: Final = '{"text": "…"}, {"prompt": "…", "answer": "…"} or {"messages": [{"role": "user", "content": "…"}, …]}'


def documents_of_rows(rows: Sequence[Row], where: str, column: str | None = None) -> tuple[list[Document], list[str]]:
    """A document for each row that says something, and notes on what was chosen or left out.

    Raises HandrailError ("data") that names the row or the columns.
    """
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    notes: list[str] = []
    read, said = _reader(rows, names, column, where)
    documents = [document for document in read(rows, where) if document.characters]
    if said:
        notes.append(said)
    if len(documents) < len(rows):
        notes.append(f"{len(rows) - len(documents):,} of {len(rows):,} rows say nothing and are left out")
    return documents, notes


def _reader(rows: Sequence[Row], names: Sequence[str], column: str | None, where: str) -> tuple[Any, str]:
    if column is not None:
        if column not in names:
            near = did_you_mean(column, names).strip() or f"the columns: {listed(names)}"
            raise HandrailError("data", f"no column '{column}'", near, where=where, field="column")
        return _texts_in(column), ""
    folded = {name.strip().casefold(): name for name in reversed(names)}
    for name in MESSAGE_NAMES:
        if name in folded and any(_is_conversation(row.get(folded[name])) for row in rows[:20]):
            return _conversations_in(folded[name]), f"conversations are in '{folded[name]}': the answers are learnt"
    for asks, answers in PAIR_NAMES:
        if asks in folded and answers in folded:
            beside = next((folded[name] for name in BESIDE_NAMES if name in folded and name != asks), None)
            said = f"'{folded[answers]}' is learnt as the answer to '{folded[asks]}'"
            return _pairs_in(folded[asks], folded[answers], beside, folded.get("system")), said
    for name in TEXT_NAMES:
        if name in folded:
            return _texts_in(folded[name]), f"the text is in '{folded[name]}'" if len(names) > 1 else ""
    return _longest_text(rows, names, where)


def _longest_text(rows: Sequence[Row], names: Sequence[str], where: str) -> tuple[Any, str]:
    """The one column, or the one with by far the longest cells; otherwise nobody can know which is meant."""
    if len(names) == 1:
        return _texts_in(names[0]), ""
    lengths = {name: sum(len(row[name]) for row in rows if isinstance(row.get(name), str)) for name in names}
    order = sorted(names, key=lambda name: -lengths[name])
    if lengths[order[0]] > CLEARLY_LONGER * max(1, lengths[order[1]]):
        return _texts_in(order[0]), f"the text is in '{order[0]}', by far the longest of {len(names)} columns"
    problem = f"several columns hold text: {listed(names)}"
    raise HandrailError("data", problem, f"say which: --column '{order[0]}'; or name them prompt and answer",
                        where=where, field="column")  # fmt: skip


def _texts_in(name: str) -> Any:
    def read(rows: Iterable[Row], where: str) -> Iterator[Document]:
        for number, row in enumerate(rows, start=1):
            yield Document(_words(row.get(name), f"{where}, row {number}", name), where=f"{where}, row {number}")

    return read


def _pairs_in(asks: str, answers: str, beside: str | None, system: str | None) -> Any:
    def read(rows: Iterable[Row], where: str) -> Iterator[Document]:
        for number, row in enumerate(rows, start=1):
            place = f"{where}, row {number}"
            question, answer = (_words(row.get(name), place, name).strip() for name in (asks, answers))
            more = _words(row.get(beside), place, beside).strip() if beside else ""
            told = _words(row.get(system), place, system).strip() if system else ""
            if not answer:
                yield Document(where=place)
                continue
            asked = "\n\n".join(part for part in (question, more) if part)
            messages = [("system", told)] * bool(told) + [("user", asked), ("assistant", answer)]
            yield Document(messages=tuple({"role": role, "content": text} for role, text in messages), where=place)

    return read


def _conversations_in(name: str) -> Any:
    def read(rows: Iterable[Row], where: str) -> Iterator[Document]:
        for number, row in enumerate(rows, start=1):
            place = f"{where}, row {number}"
            messages = tuple(_messages(row.get(name), place))
            if messages and not any(message["role"] == "assistant" for message in messages):
                problem = "a conversation without an answer"
                raise HandrailError("data", problem, 'one message has the role "assistant"', where=place)
            yield Document(messages=messages, where=place)

    return read


def _messages(value: Any, where: str) -> Iterator[Message]:
    found = _parsed(value)
    if found is None:
        return
    if not isinstance(found, list):
        raise _off(f"expected a list of messages, received {described(value)}", where)
    for message in found:
        if not isinstance(message, Mapping):
            raise _off(f"expected a message with role and content, received {described(message)}", where)
        said = str(message.get("role", message.get("from", "")))
        role = ROLES.get(said.casefold(), said.casefold())
        if role not in KNOWN_ROLES:
            raise _off(f"a message has the role '{said[:40]}'; expected {listed(KNOWN_ROLES)}", where)
        content = message.get("content", message.get("value", message.get("text")))
        if isinstance(content, list):  # parts, as OpenAI's API has them
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        yield {"role": role, "content": _words(content, where, "content")}


def _is_conversation(value: Any) -> bool:
    found = _parsed(value)
    return isinstance(found, list) and bool(found) and isinstance(found[0], Mapping)


def _parsed(value: Any) -> Any:
    """A list of messages, also where a cell has it as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value or None


def _words(value: Any, where: str, name: str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int | float):
        return str(value)
    raise HandrailError("data", f"expected text, received {described(value)}", EXAMPLE, where=where, field=name)


def _off(problem: str, where: str) -> HandrailError:
    return HandrailError("data", problem, '[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]',
                         where=where, field="messages")  # fmt: skip
