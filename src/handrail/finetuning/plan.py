"""What will be done and why, before it is done: from the text, the base, the machine and what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from handrail.core.errors import HandrailError

METHODS: Final = ("lora", "blocks", "full")
# What a network reaches of the speed of one large product of matrices.
EFFICIENCY: Final = 0.5
# The library and what it holds besides numbers of ours.
PROGRAM_BYTES: Final = 900 * 2**20
MEMORY_SHARE: Final = 0.8
RANK: Final = 16
RATES: Final = {"lora": 1e-3, "blocks": 4e-4, "full": 1e-4}
LENGTHS: Final = (256, 128, 64)
STEP_TOKENS: Final = 1024
DEFAULT_S: Final = 600.0
DEFAULT_EPOCHS: Final = 3.0
# With fewer tokens than this, few numbers are trained: more would learn the text by heart.
SMALL_TOKENS: Final = 20_000
TINY_TOKENS: Final = 2_000
# The share of the blocks that learns where not all do.
UPPER_SHARE: Final = 1 / 3
EVALUATIONS: Final = 8
RESTRICTED_SHARE: Final = 0.5


@dataclass(frozen=True)
class Shape:
    """A base in numbers: parameters of one block and of the table of tokens, and how wide and long it sees."""

    blocks: int
    block_size: int
    table_size: int
    width: int
    vocabulary: int
    context: int

    @property
    def size(self) -> int:
        return self.blocks * self.block_size + self.table_size


@dataclass(frozen=True)
class Order:
    """What the user asked for; None: to be decided."""

    method: str | None = None
    time_s: float | None = None
    steps: int | None = None
    epochs: float | None = None
    length: int | None = None
    rate: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """What there is to learn from, in tokens. `longest` is how long a document usually is at most."""

    tokens: int
    held_out: int
    distinct: int
    longest: int
    is_dialogue: bool = False


@dataclass(frozen=True)
class Settings:
    """Every number that the training needs. Blocks from `first` on learn; `steps` None: as many as the time allows."""

    method: str
    first: int
    rank: int
    rate: float
    decay: float
    length: int
    batch: int
    half: bool
    restricted: bool
    keeps: bool
    steps: int | None
    time_s: float | None
    evaluations: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """`lines` are (word, explanation) pairs for people; `memory_bytes` and `tokens_s` are estimates."""

    settings: Settings
    lines: tuple[tuple[str, str], ...]
    memory_bytes: int
    tokens_s: float
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "task": "generation", "time_s": self.settings.time_s}


def plan(
    shape: Shape, material: Material, powers: Mapping[str, Any], order: Order, *, base: str, licence: str = "",
    from_scratch: bool = False,
) -> Plan:  # fmt: skip
    """`powers`: device, precision, flops, free_bytes, reason (see machine.py).

    Raises HandrailError ("environment") where nothing fits into memory, with both numbers.
    """
    settings, why = _fitting(shape, material, powers, order)
    speed = tokens_s(shape, material, settings, powers["flops"])
    needed = memory_bytes(shape, material, settings)
    lines = (
        ("base", f"{base}: {_millions(shape.size)} parameters in {shape.blocks} blocks{licence and f', {licence}'}"),
        ("text", _text_words(material)),
        ("method", f"{_method_words(shape, settings)}: {why}"),
        ("rows", f"{settings.length} tokens long, {settings.batch} at a time"),
        ("precision", str(powers["reason"])),
        ("softmax", _softmax_words(shape, material, settings)),
        *([("kept", _kept_words(shape, material, settings))] if settings.keeps else []),
        ("memory", f"about {needed / 2**30:.1f} GB, {powers['free_bytes'] / 2**30:.1f} GB are free"),
        ("time", _time_words(material, settings, speed, order)),
    )
    return Plan(settings, lines, needed, speed, _warnings(material))


def _fitting(shape: Shape, material: Material, powers: Mapping[str, Any], order: Order) -> tuple[Settings, str]:
    """The best settings that fit into memory; what had to shrink for that is said in the reason."""
    room = MEMORY_SHARE * powers["free_bytes"]
    method, why = _method(shape, material, powers, order)
    wanted = _settings(shape, material, powers, order, method)
    for smaller, said in _shrunk(wanted, shape, order):
        if memory_bytes(shape, material, smaller) <= room:
            return smaller, why + said
    needed = memory_bytes(shape, material, smaller)
    raise HandrailError(
        "environment",
        f"training {_millions(shape.size)} parameters needs about {needed / 2**30:.1f} GB of memory, "
        f"{powers['free_bytes'] / 2**30:.1f} GB are free",
        "choose a smaller --base, --method lora, or a larger machine",
    )


def _shrunk(wanted: Settings, shape: Shape, order: Order) -> list[tuple[Settings, str]]:
    """The settings wanted, and after them what needs less and less memory."""
    tries = [(wanted, "")]
    tries.append((replace(wanted, keeps=False), ""))
    while tries[-1][0].batch > 1:
        last = tries[-1][0]
        tries.append((replace(last, batch=max(1, last.batch // 2)), "; fewer rows at a time, to fit into memory"))
    if order.method is None:
        lora = replace(tries[-1][0], method="lora", rate=order.rate or RATES["lora"], first=_first(shape))
        tries.append((lora, "; small matrices only, to fit into memory"))
    while order.length is None and tries[-1][0].length > 64:
        last = tries[-1][0]
        tries.append((replace(last, length=last.length // 2), "; small matrices and short rows, to fit into memory"))
    return tries


def _method(shape: Shape, material: Material, powers: Mapping[str, Any], order: Order) -> tuple[str, str]:
    if order.method is not None:
        return order.method, "as asked"
    if material.tokens < SMALL_TOKENS:
        return "lora", "there is little text, and fewer numbers learn less of it by heart"
    return "blocks", "they learn most in the time that there is, and nothing flows back through the others"


def _settings(shape: Shape, material: Material, powers: Mapping[str, Any], order: Order, method: str) -> Settings:
    length = order.length or _length(shape, material)
    rows = max(1, math.ceil(material.tokens / length))
    batch = max(1, min(rows, STEP_TOKENS // length))
    epochs = order.epochs
    time_s = order.time_s
    if order.steps is None and epochs is None:
        epochs = None if time_s is not None else DEFAULT_EPOCHS
        time_s = time_s or DEFAULT_S
    steps = order.steps or (None if epochs is None else max(1, math.ceil(epochs * rows / batch)))
    first = 0 if method == "full" else _first(shape)
    settings = Settings(
        method=method, first=first, rank=RANK, rate=order.rate or RATES[method], decay=0.01, length=length, batch=batch,
        half=powers["precision"] == "bf16", restricted=material.distinct < RESTRICTED_SHARE * shape.vocabulary,
        keeps=False, steps=steps, time_s=time_s, evaluations=EVALUATIONS, seed=order.seed,
    )  # fmt: skip
    passes = _passes(material, settings, tokens_s(shape, material, settings, powers["flops"]))
    return replace(settings, keeps=first > 0 and passes > 1.2)


def _first(shape: Shape) -> int:
    return shape.blocks - max(1, round(shape.blocks * UPPER_SHARE))


def _length(shape: Shape, material: Material) -> int:
    """Rows as long as documents usually are, within what a processor handles well and the base can see."""
    wanted = LENGTHS[0]
    if material.is_dialogue:
        wanted = min(1024, max(LENGTHS[0], 2 ** math.ceil(math.log2(max(1, material.longest)))))
    return max(1, min(wanted, shape.context, material.tokens - 1))


def tokens_s(shape: Shape, material: Material, settings: Settings, flops: float) -> float:
    """Tokens a second that training may reach: forward through everything, back through what learns."""
    learning = (shape.blocks - settings.first) * shape.block_size
    frozen = settings.first * shape.block_size * (0.15 if settings.keeps else 1.0)
    back = {"lora": 2, "blocks": 4, "full": 4}[settings.method]
    head = shape.width * (material.distinct if settings.restricted else shape.vocabulary)
    cost = 2 * frozen + (2 + back) * learning + (6 if settings.method == "full" else 4) * head
    return EFFICIENCY * flops / cost


def memory_bytes(shape: Shape, material: Material, settings: Settings) -> int:
    """What the training needs at most, estimated: numbers, what AdamW keeps of them, hidden values and logits."""
    learning = _learning(shape, settings)
    held = 4 * shape.size + 4 * learning  # loaded as float32, halved after that; the best state is kept, too
    moments = (12 + 16) * learning  # gradient and two moments; a checkpoint on its way to the disk
    places = settings.length * settings.batch
    hidden = places * shape.width * (shape.blocks - settings.first) * (70 if settings.half else 120)
    logits = places * (material.distinct if settings.restricted else shape.vocabulary) * (12 if settings.half else 16)
    kept = (material.tokens + material.held_out) * shape.width * (2 if settings.half else 4) if settings.keeps else 0
    return int(PROGRAM_BYTES + held + moments + hidden + logits + kept)


def _learning(shape: Shape, settings: Settings) -> int:
    """How many numbers are trained."""
    if settings.method == "full":
        return shape.size
    upper = (shape.blocks - settings.first) * shape.block_size
    return upper if settings.method == "blocks" else round(upper * 5 * settings.rank / shape.width / 2)


def _passes(material: Material, settings: Settings, speed: float) -> float:
    """How often the text is gone through at most."""
    seen = [math.inf]
    if settings.steps is not None:
        seen.append(settings.steps * settings.batch * settings.length)
    if settings.time_s is not None:
        seen.append(settings.time_s * speed)
    return min(seen) / max(1, material.tokens)


def _warnings(material: Material) -> tuple[str, ...]:
    if material.tokens < TINY_TOKENS:
        return (f"{material.tokens:,} tokens are very little text: the model will mostly learn it by heart",)
    if material.tokens < SMALL_TOKENS:
        return (f"{material.tokens:,} tokens are little text: expect it to take on the style, and to copy parts",)
    return ()


def _method_words(shape: Shape, settings: Settings) -> str:
    learnt = shape.blocks - settings.first
    share = f"{_millions(_learning(shape, settings))} numbers learn"
    return {
        "lora": f"small matrices beside those of the last {learnt} of {shape.blocks} blocks (LoRA), {share}",
        "blocks": f"the last {learnt} of {shape.blocks} blocks, {share}",
        "full": f"the whole model, {share}",
    }[settings.method]


def _text_words(material: Material) -> str:
    held = f"{material.held_out:,} held out to score with" if material.held_out else "nothing held out"
    kind = "tokens of conversations" if material.is_dialogue else "tokens"
    return f"{material.tokens:,} {kind} to learn from, {material.distinct:,} of them different; {held}"


def _softmax_words(shape: Shape, material: Material, settings: Settings) -> str:
    if not settings.restricted:
        return f"over all {shape.vocabulary:,} tokens"
    return (
        f"over the text's {material.distinct:,} tokens and a few of the others {shape.vocabulary - material.distinct:,}"
    )


def _kept_words(shape: Shape, material: Material, settings: Settings) -> str:
    size = (material.tokens + material.held_out) * shape.width * (2 if settings.half else 4)
    return f"what the first {settings.first} blocks make of the text is computed once and kept ({size / 2**20:,.0f} MB)"


def _time_words(material: Material, settings: Settings, speed: float, order: Order) -> str:
    passes = _passes(material, settings, speed)
    often = f"{passes:.1f} times" if passes >= 1 else f"{passes:.0%} of it once"
    limits = []
    if settings.steps is not None:
        limits.append(f"{settings.steps:,} steps")
    if settings.time_s is not None:
        limits.append(f"{_duration(settings.time_s)}")
    words = " or ".join(limits) + (", whichever comes first" if len(limits) > 1 else "")
    took = min(settings.time_s or math.inf, passes * material.tokens / speed)
    about = f"about {_duration(took)}, " if settings.steps is not None else ""
    speed_words = f"about {speed:,.0f} tokens a second, so through the text {often}"
    return f"{words}; {about}{speed_words}; ends early when it gets no better"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f} million" if count < 1e9 else f"{count / 1e9:,.1f} billion"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
