"""What is learnt from: texts, and conversations of which only the answers are learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Message = dict[str, str]

ASKS: Final = ("system", "user", "tool")
ANSWERS: Final = "assistant"


@dataclass(frozen=True)
class Document:
    """One text, or the messages of one conversation (role and content); `where` says which file and row it was.

    `source` numbers the argument it came with.
    """

    text: str = ""
    messages: tuple[Message, ...] = ()
    where: str = ""
    source: int = 0

    @property
    def characters(self) -> int:
        return len(self.text) + sum(len(message["content"]) for message in self.messages)

    def key(self) -> tuple[object, ...]:
        """The same for documents that say the same: they must not stand on both sides of a split."""
        return (self.text.strip(), tuple((message["role"], message["content"]) for message in self.messages))


@dataclass(frozen=True)
class Reading:
    """All documents of what was given. `total_bytes` may be more than was read: then evenly spread parts were."""

    documents: tuple[Document, ...]
    source: str
    read_bytes: int
    total_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def is_dialogue(self) -> bool:
        return any(document.messages for document in self.documents)

    @property
    def characters(self) -> int:
        return sum(document.characters for document in self.documents)
