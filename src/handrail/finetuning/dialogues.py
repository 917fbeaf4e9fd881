"""Conversations as the base writes them: through its chat template, in pieces of which only the answers are learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handrail.encode.chat import Chat
from handrail.finetuning.documents import ANSWERS

# How conversations are written where the base has no template of its own; saved with the model.
PLAIN_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ {'system': 'System', 'user': 'User', 'assistant': 'Assistant', 'tool': 'Tool'}[message['role']] }}: "
    "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)


@dataclass(frozen=True)
class Piece:
    """A stretch of a document: whether it is learnt, and whether marks in it (<|im_end|>) are tokens of their own."""

    text: str
    learnt: bool
    marks: bool


Render = Callable[[Sequence[Mapping[str, str]]], Iterator[Piece]]


def rendering(chat: Chat) -> Render:
    """What cuts the messages of a conversation into pieces, each answer with what closes it."""

    def render(messages: Sequence[Mapping[str, str]]) -> Iterator[Piece]:
        done = ""
        for number, message in enumerate(messages):
            if message["role"] != ANSWERS:
                continue
            asked = chat.prompt(messages[:number], opens=True)
            whole = chat.prompt(messages[: number + 1], opens=False)
            begins = _common(asked, whole)
            if not whole.startswith(done):  # a template that rewrites what was said before: the newest answer counts
                done = ""
            yield Piece(whole[len(done) : begins], False, True)
            yield Piece(whole[begins:].rstrip("\n"), True, True)
            done = whole.rstrip("\n")

    return render


def _common(asked: str, whole: str) -> int:
    """How far both are the same: all that was asked, unless a template writes an answer otherwise than it opens it."""
    if whole.startswith(asked):
        return len(asked)
    return next(place for place, pair in enumerate(zip(asked, whole + "\0", strict=False)) if pair[0] != pair[1])
