"""All that is known before a training begins: the text as tokens, what is started from, the machine, and the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.events import Planned, Progress, Said, Tell, Warned
from handrail.encode.chat import Chat
from handrail.encode.tokens import Tokenizer, tokenizer_from
from handrail.finetuning.asked import Request
from handrail.finetuning.balance import balanced
from handrail.finetuning.corpus import Split, Tokens, parted, tokens_of
from handrail.finetuning.dialogues import PLAIN_TEMPLATE, rendering
from handrail.finetuning.documents import Document, Reading
from handrail.finetuning.machine import Powers, powers
from handrail.finetuning.plan import DEFAULT_S, plan
from handrail.finetuning.plan_values import Material, Plan, Shape
from handrail.finetuning.reading import read_documents
from handrail.finetuning.scratch import new_start
from handrail.finetuning.starts import Start, start_of
from handrail.runtimes.decoder import Shape as Decoder
from handrail.runtimes.decoder import shape_of
from handrail.store import Store

# Text that a training of so many seconds gets to see, at the most, and some more.
BYTES_A_SECOND: Final = 32_000
FEWEST_BYTES, MOST_BYTES = 4 * 2**20, 256 * 2**20
# All evaluations together may take about this share of the time.
JUDGING_SHARE: Final = 0.1
# Held-out tokens: so few say little, and more say no more.
FEWEST_HELD_OUT, MOST_HELD_OUT = 4_096, 65_536
CHARACTERS_A_TOKEN: Final = 4
# What small machines reach, taken for granted here: what is held out must not depend on how busy a machine is.
NOMINAL_FLOPS: Final = 150e9
PROMPTS: Final = 8
PROMPT_TOKENS: Final = 12


@dataclass(frozen=True)
class Prompt:
    """What a text begins with, in tokens, and in words for people: of a conversation, the question alone."""

    tokens: list[int]
    words: str


@dataclass(frozen=True)
class Prepared:
    """`end` is the token that closes a text; `prompts` are beginnings of texts that are held out."""

    store: Store
    reading: Reading
    start: Start
    tokenizer: Tokenizer
    machine: Powers
    shape: Shape
    split: Split
    train: Tokens
    held_out: Tokens
    end: int
    plan: Plan

    @property
    def special(self) -> dict[str, Any]:
        """The base's marks; what closed the texts here ends an answer, too."""
        return {**self.start.special, "ends": sorted({*self.start.special.get("ends", ()), self.end})}

    @property
    def chat_template(self) -> str | None:
        """The base's, or the plain one where conversations were learnt."""
        return self.start.chat_template or (PLAIN_TEMPLATE if self.reading.is_dialogue else None)

    def prompts(self) -> list[Prompt]:
        """Beginnings of texts that are held out; of conversations, what comes before the first answer."""
        documents = (self.split.held_out or self.split.train)[:PROMPTS]
        chat = Chat(*_template(self.start, self.tokenizer, self.end))
        found: list[Prompt] = []
        for document in documents:
            if document.messages:
                asked = next(place for place, one in enumerate(document.messages) if one["role"] == "assistant")
                before = document.messages[:asked]
                found += [Prompt(chat.tokens(self.tokenizer, before), before[-1]["content"])] if before else []
            else:
                beginnings = _beginnings(document.text, self.tokenizer, max(1, PROMPTS // len(documents)))
                found += [Prompt(tokens, self.tokenizer.decode(tokens)) for tokens in beginnings]
        return [prompt for prompt in found if prompt.tokens][:PROMPTS]


def prepared(request: Request, tell: Tell) -> Prepared:
    """Reads, opens the base, looks at the machine, and decides; tells what was decided.

    Raises HandrailError in one sentence, with what to type.
    """
    store = Store(request.home, tell=tell)
    reading = _read(request, tell)
    scratch = request.from_scratch
    start = new_start(reading.documents, characters=request.characters) if scratch else _start(request, store, tell)
    tokenizer = tokenizer_from(start.tokenizer_json, start.special)
    machine, shape, end = powers(), shape_of_start(start), _end(start)
    split = _split(request, reading, shape)
    train, held_out = (_tokens(documents, start, tokenizer, end) for documents in (split.train, split.held_out))
    if len(train) < 2:
        raise HandrailError("data", "there is too little text to learn from", "give more than a word")
    order = replace(request.order, method="new") if scratch else request.order
    about = {"name": start.name, "licence": start.licence}
    decided = plan(shape, _material(train, held_out, split), asdict(machine), order, about)
    for text in (*reading.notes, split.reason):
        tell(Said(text))
    tell(Planned(decided.lines, decided.as_dict()))
    for text in decided.warnings:
        tell(Warned(text))
    return Prepared(store, reading, start, tokenizer, machine, shape, split, train, held_out, end, decided)


def _read(request: Request, tell: Tell) -> Reading:
    tell(Progress("reading", 0, 0))
    seconds = request.order.time_s or (DEFAULT_S if request.order.steps is None else 60.0)
    most = int(min(MOST_BYTES, max(FEWEST_BYTES, BYTES_A_SECOND * seconds)))
    if request.order.epochs is not None and request.order.time_s is None:
        most = MOST_BYTES
    reading = read_documents(request.sources, most_bytes=most, column=request.column, encoding=request.encoding)
    return balanced(reading, request.order.seed) if request.balance else reading


def _start(request: Request, store: Store, tell: Tell) -> Start:
    tell(Progress(f"opening the base {request.base}", 0, 0))
    return start_of(request.base, store, tell)


def shape_of_start(start: Start) -> Shape:
    """The base in the numbers that a plan is made of."""
    found = shape_of(start.config, start.name)
    table = found.vocabulary * found.width * (1 if found.tied else 2)
    block = (found.parameters - table) // found.layers
    return Shape(found.layers, block, table, found.width, found.vocabulary, found.context, _sides(found))


def _sides(found: Decoder) -> int:
    """What goes into and comes out of the matrices of a block, summed."""
    asks, keys = found.heads * found.head_width, found.key_heads * found.head_width
    if found.family == "gpt2":  # queries, keys and values are one matrix, and the inner ones have no gate
        return (found.width + asks + 2 * keys) + (asks + found.width) + 2 * (found.width + found.inner)
    return 4 * found.width + 2 * asks + 2 * keys + 3 * (found.width + found.inner)


def _split(request: Request, reading: Reading, shape: Shape) -> Split:
    """What is held out is as much as can be judged several times without taking much of the time."""
    if request.test is not None:
        test = read_documents([request.test], most_bytes=MOST_BYTES, column=request.column, encoding=request.encoding)
        known = {document.key() for document in reading.documents}
        fresh = tuple(document for document in test.documents if document.key() not in known)
        return Split(reading.documents, fresh, f"scored with {test.source}")
    seconds = request.order.time_s or DEFAULT_S
    forward = NOMINAL_FLOPS / (2 * shape.size)
    tokens = min(MOST_HELD_OUT, max(FEWEST_HELD_OUT, JUDGING_SHARE / 6 * seconds * forward))
    return parted(reading.documents, request.order.seed, int(tokens * CHARACTERS_A_TOKEN))


def _tokens(documents: Sequence[Document], start: Start, tokenizer: Tokenizer, end: int) -> Tokens:
    render = rendering(Chat(*_template(start, tokenizer, end)))
    return tokens_of(documents, tokenizer, end, render, begins=bool(start.special.get("adds_begin")))


def _template(start: Start, tokenizer: Tokenizer, end: int) -> tuple[str, dict[str, str]]:
    """The chat template, and what it may call special tokens."""
    names = {"eos_token": tokenizer.token_name(end), **start.special.get("names", {})}
    return start.chat_template or PLAIN_TEMPLATE, names


def _end(start: Start) -> int:
    """The token that closes a text: what stands between two texts, or else what ends one."""
    begin, ends = start.special.get("begin"), start.special.get("ends", ())
    if begin is not None and not start.special.get("adds_begin"):
        return int(begin)
    if not ends:
        raise HandrailError("data", "the base has no token that ends a text", "choose another --base", field="base")
    return int(min(ends))


def _material(train: Tokens, held_out: Tokens, split: Split) -> Material:
    lengths = sorted(document.characters // CHARACTERS_A_TOKEN for document in split.train)
    longest = lengths[int(0.95 * (len(lengths) - 1))]
    dialogue = any(document.messages for document in split.train)
    return Material(len(train), len(held_out), len(train.distinct), longest, dialogue)


def _beginnings(text: str, tokenizer: Tokenizer, count: int) -> Iterator[list[int]]:
    """A few tokens each, where lines begin, evenly spread over a text."""
    for number in range(count):
        place = len(text) * number // count
        place = text.find("\n", place) + 1 if number else 0
        yield tokenizer.encode(text[place : place + 200].lstrip())[:PROMPT_TOKENS]
