"""What will be done and why, before it is done: from the text, the base, the machine and what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.finetuning.plan_values import Material, Order, Plan, Settings, Shape
from handrail.finetuning.plan_words import millions, plan_lines

# "new" is what a network from scratch gets: all of it learns, and faster.
METHODS: Final = ("lora", "blocks", "full")
# What a network reaches of the speed of one large product of matrices; new ones are small, and train on one thread.
EFFICIENCY, NEW_EFFICIENCY = 0.5, 0.15
# The library and what it holds besides numbers of ours.
PROGRAM_BYTES: Final = 900 * 2**20
MEMORY_SHARE: Final = 0.8
RANK: Final = 32
RATES: Final = {"lora": 1e-3, "blocks": 1e-4, "full": 1e-4, "new": 3e-3}
# Where the rate of small matrices was measured; wider bases get less of it, since more numbers move each value.
MEASURED_WIDTH: Final = 576
LENGTHS: Final = (256, 128, 64)
# Tokens of a step where the training takes at most so many seconds: small steps learn more from few tokens.
STEP_TOKENS: Final = ((600.0, 512), (3_600.0, 1_024), (math.inf, 2_048))
NEW_STEP_TOKENS: Final = 1_024
DEFAULT_S: Final = 600.0
DEFAULT_EPOCHS: Final = 3.0
# With fewer tokens than this, few numbers are trained: more would learn the text by heart.
SMALL_TOKENS: Final = 20_000
TINY_TOKENS: Final = 2_000
# The share of the blocks that learns where not all do. Measured: all of them learn more in the same time, and small
# matrices beside all of them more than all of the numbers in them.
UPPER_SHARE: Final = 1 / 3
# Looks at held-out text; text that is gone through once is not learnt by heart, and fewer will do.
EVALUATIONS, FEWER_EVALUATIONS = 8, 4
RESTRICTED_SHARE: Final = 0.5
# From so many passes on it pays to keep what frozen blocks make of the text; above so many, a text is learnt by heart.
ENOUGH_PASSES, MOST_PASSES = 1.2, 30


def plan(shape: Shape, material: Material, powers: Mapping[str, Any], order: Order, about: Mapping[str, str]) -> Plan:
    """`powers`: device, precision, flops, free_bytes, reason (see machine.py); `about`: the base's name and licence.

    Raises HandrailError ("environment") where nothing fits into memory, with both numbers.
    """
    settings, why = _fitting(shape, material, powers, order)
    speed = tokens_s(shape, material, settings, powers["flops"])
    needed = memory_bytes(shape, material, settings)
    seen = passes(material, settings, speed)
    lines = plan_lines(
        shape, material, settings, powers, about, why=why, learning=learning_size(shape, settings),
        memory_bytes=needed, kept_bytes=kept_bytes(shape, material, settings), tokens_s=speed, passes=seen,
    )  # fmt: skip
    return Plan(settings, lines, needed, speed, material.is_dialogue, _warnings(material, seen))


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
        f"training {millions(shape.size)} parameters needs about {needed / 2**30:.1f} GB of memory, "
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
    if wanted.method in ("lora", "blocks"):
        upper = replace(tries[-1][0], first=_first(shape))
        where = "beside the last third" if wanted.method == "lora" else "the last third"
        tries.append((upper, f"; only {where} of the blocks, to fit into memory"))
    while order.length is None and tries[-1][0].length > 64:
        last = tries[-1][0]
        tries.append((replace(last, length=last.length // 2), "; and short rows, to fit into memory"))
    return tries


def _method(shape: Shape, material: Material, powers: Mapping[str, Any], order: Order) -> tuple[str, str]:
    if order.method == "new":
        return "new", "there is no base"
    if order.method is not None:
        return order.method, "as asked"
    if material.tokens < SMALL_TOKENS:
        return "lora", "there is little text, and fewer numbers learn less of it by heart"
    return "lora", "small matrices beside all others learn most in a given time, and need the least memory"


def _settings(shape: Shape, material: Material, powers: Mapping[str, Any], order: Order, method: str) -> Settings:
    length = order.length or _length(shape, material)
    rows = max(1, math.ceil(material.tokens / length))
    batch = max(1, min(rows, _step_tokens(order, method) // length))
    epochs = order.epochs
    time_s = order.time_s
    if order.steps is None and epochs is None:
        epochs = None if time_s is not None else DEFAULT_EPOCHS
        time_s = time_s or DEFAULT_S
    steps = order.steps or (None if epochs is None else max(1, math.ceil(epochs * rows / batch)))
    first = _first(shape) if method == "lora" and material.tokens < SMALL_TOKENS else 0
    settings = Settings(
        method=method, first=first, rank=RANK, rate=order.rate or _rate(shape, method),
        decay=0.1 if method == "new" else 0.01, length=length, batch=batch,
        half=powers["precision"] == "bf16", restricted=material.distinct < RESTRICTED_SHARE * shape.vocabulary,
        keeps=False, steps=steps, time_s=time_s, evaluations=EVALUATIONS, seed=order.seed,
    )  # fmt: skip
    often = passes(material, settings, tokens_s(shape, material, settings, powers["flops"]))
    looks = EVALUATIONS if often > ENOUGH_PASSES else FEWER_EVALUATIONS
    return replace(settings, keeps=first > 0 and often > ENOUGH_PASSES, evaluations=looks)


def _step_tokens(order: Order, method: str) -> int:
    if method == "new":
        return NEW_STEP_TOKENS
    return next(tokens for most_s, tokens in STEP_TOKENS if (order.time_s or DEFAULT_S) <= most_s)


def _rate(shape: Shape, method: str) -> float:
    return RATES[method] * (min(1.0, MEASURED_WIDTH / shape.width) if method == "lora" else 1.0)


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
    back = 2 if settings.method == "lora" else 4
    head = shape.width * (material.distinct if settings.restricted else shape.vocabulary)
    cost = 2 * frozen + (2 + back) * learning + (6 if settings.method in ("full", "new") else 4) * head
    return (NEW_EFFICIENCY if settings.method == "new" else EFFICIENCY) * flops / cost


def memory_bytes(shape: Shape, material: Material, settings: Settings) -> int:
    """What the training needs at most, estimated: numbers, what AdamW keeps of them, hidden values and logits."""
    learning = learning_size(shape, settings)
    held = 4 * shape.size + 4 * learning  # loaded as float32, halved after that; the best state is kept, too
    moments = (12 + 16) * learning  # gradient and two moments; a checkpoint on its way to the disk
    places = settings.length * settings.batch
    hidden = places * shape.width * (shape.blocks - settings.first) * (70 if settings.half else 120)
    logits = places * (material.distinct if settings.restricted else shape.vocabulary) * (12 if settings.half else 16)
    kept = kept_bytes(shape, material, settings) if settings.keeps else 0
    return int(PROGRAM_BYTES + held + moments + hidden + logits + kept)


def kept_bytes(shape: Shape, material: Material, settings: Settings) -> int:
    """What it takes to keep the hidden values below the blocks that learn, for all rows."""
    return (material.tokens + material.held_out) * shape.width * (2 if settings.half else 4)


def learning_size(shape: Shape, settings: Settings) -> int:
    """How many numbers are trained."""
    if settings.method in ("full", "new"):
        return shape.size
    a_block = shape.block_size if settings.method == "blocks" else settings.rank * shape.sides
    return (shape.blocks - settings.first) * a_block


def passes(material: Material, settings: Settings, speed: float) -> float:
    """How often the text is gone through at most."""
    seen = [math.inf]
    if settings.steps is not None:
        seen.append(settings.steps * settings.batch * settings.length)
    if settings.time_s is not None:
        seen.append(settings.time_s * speed)
    return min(seen) / max(1, material.tokens)


def _warnings(material: Material, seen: float) -> tuple[str, ...]:
    found = []
    if material.tokens < TINY_TOKENS:
        found.append(f"{material.tokens:,} tokens are very little text: the model will mostly learn it by heart")
    elif material.tokens < SMALL_TOKENS:
        found.append(f"{material.tokens:,} tokens are little text: it takes on the style, and will copy parts")
    if seen > MOST_PASSES:
        found.append(f"it may go through the text {seen:,.0f} times: more text would serve better than more time")
    if not material.held_out:
        found.append("nothing is held out of so little text: how good the model is will not be known")
    return tuple(found)
