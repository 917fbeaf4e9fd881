"""The graph of a decoder, made anew whenever a model is opened: one builder, options instead of copies.

Weights are handed over by name when the session is made (see `weights.py`), so a bundle holds numbers and no graph.
Inputs: tokens (rows, width), before (rows) = tokens of the row up to and with these, less 1; total () = the longest
row's tokens; at (n) = the places, row after row, whose logits are wanted; place (rows, width) for GPT-2 only;
keys_i, values_i (rows, key heads, window, head width), which are written in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from handrail.runtimes.decoder import wire
from handrail.runtimes.decoder.shape import Shape

# 4: activations are rounded to 8 bits, too, block by block, which lets the CPU multiply whole numbers.
ACCURACY: Final = 4
MICROSOFT: Final = "com.microsoft"


HANDED_OVER: Final[Mapping[str, str]] = {"location": "handed-over"}


class Stored(NamedTuple):
    """A weight that there is; `place` is where its numbers lie (see `wire.outside`)."""

    element: str
    sizes: Sequence[int]
    place: Mapping[str, str] = HANDED_OVER


@dataclass
class Build:
    """A graph that is being written."""

    shape: Shape
    stored: Mapping[str, Stored]
    nodes: list[bytes] = field(default_factory=list)
    used: dict[str, bytes] = field(default_factory=dict)

    def __call__(
        self, kind: str, *inputs: str, to: Sequence[str] = (), domain: str = "", **settings: wire.Value
    ) -> str:
        outputs = list(to) or [f"n{len(self.nodes)}"]
        self.nodes.append(wire.node(kind, inputs, outputs, domain, settings))
        return outputs[0]

    def weight(self, name: str, *sizes: int) -> str:
        """A weight by its name. Raises KeyError or ValueError where there is none of these sizes."""
        stored = self.stored[name]
        wanted = "uint8" if name.endswith((".q8", ".q4")) else "float32"
        if stored.element != wanted or tuple(stored.sizes) != sizes:
            found = f"{stored.element} {tuple(stored.sizes)}"
            raise ValueError(f"{name[:40]}: expected {wanted} {sizes}, received {found[:80]}")
        self.used[name] = wire.outside(name, *stored)
        return name

    def numbers(self, *values: int) -> str:
        name = f"c{'_'.join(map(str, values))}".replace("-", "m")
        self.used[name] = wire.constant(name, values)
        return name

    def dense(self, value: str, name: str, inner: int, outer: int) -> str:
        """value · wᵀ + b, in whichever precision the weight is stored."""
        bias = self.weight(f"{name}.b", outer) if self._has_bias(name) else ""
        for bits in (8, 4):
            if f"{name}.q{bits}" in self.stored:
                block = self.stored[f"{name}.q{bits}"].sizes[-1] * 8 // bits
                blocks = -(-inner // max(1, block))
                parts = [self.weight(f"{name}.q{bits}", outer, blocks, block * bits // 8),
                         self.weight(f"{name}.s", outer, blocks)]  # fmt: skip
                rest = ["", "", bias] if bias else []
                found = self("MatMulNBits", value, *parts, *rest, domain=MICROSOFT, K=inner, N=outer, bits=bits,
                             block_size=block, accuracy_level=ACCURACY)  # fmt: skip
                return self._with_added(found, value, name, [blocks, block], outer)
        product = self("MatMul", value, self.weight(f"{name}.w", inner, outer))
        return self("Add", product, bias) if bias else product

    def _with_added(self, found: str, value: str, name: str, cut: Sequence[int], outer: int) -> str:
        """Plus what is to be added to each block of a weight (see `rounding.rounded`), times the block's sum.

        `cut` are how many blocks there are, and their size.
        """
        if f"{name}.m" not in self.stored:
            return found
        grouped = self("Reshape", value, self.numbers(0, 0, *cut))
        sums = self("ReduceSum", grouped, self.numbers(-1), keepdims=0)
        return self("Add", found, self("MatMul", sums, self.weight(f"{name}.m", cut[0], outer)))

    def _has_bias(self, name: str) -> bool:
        return name != "head" and self.shape.bias and (self.shape.family == "gpt2" or name.endswith(".qkv"))

    def sum_and_norm(self, value: str, beside: str, name: str) -> tuple[str, str]:
        """value + beside, and that normalised.

        As two nodes: the one that does both (SkipLayerNormalization) takes 5 % of a step more.
        """
        total = self("Add", value, beside)
        return total, self.norm(total, name)

    def norm(self, value: str, name: str, width: int = 0) -> str:
        """A value normalised over its last `width` numbers, the model's own where none are said."""
        size = width or self.shape.width
        parts, kind = [self.weight(f"{name}.w", size)], "SimplifiedLayerNormalization"
        if self.shape.family == "gpt2":
            parts, kind = [*parts, self.weight(f"{name}.b", size)], "LayerNormalization"
        return self(kind, value, *parts, axis=-1, epsilon=self.shape.epsilon)


def graph(shape: Shape, stored: Mapping[str, Stored]) -> tuple[bytes, list[str]]:
    """The bytes of the graph, and the names of the weights that must be handed over."""
    build = Build(shape, stored)
    value = _places(build, _table(build))
    normed = build.norm(value, "layer0.norm1")
    for layer in range(shape.layers):
        name = f"layer{layer}"
        seen = _attention(build, normed, layer)
        if layer == shape.layers - 1:  # Of tokens whose logits nobody wants, only keys and values are.
            seen, value = _wanted(build, seen, shape.heads * shape.head_width), _wanted(build, value, shape.width)
        attended = build.dense(seen, f"{name}.out", shape.heads * shape.head_width, shape.width)
        value, normed = build.sum_and_norm(_after(build, attended, f"{name}.after1"), value, f"{name}.norm2")
        thought = _after(build, _inner(build, normed, name), f"{name}.after2")
        following = f"layer{layer + 1}.norm1" if layer + 1 < shape.layers else "norm"
        value, normed = build.sum_and_norm(thought, value, following)
    before = len(build.nodes)
    _logits(build, normed)
    # The widest weight is packed first, while little else is in memory: onnxruntime packs in the order in which nodes
    # are written, and runs them in its own.
    nodes = build.nodes[before:] + build.nodes[:before]
    weights = [name for name in build.used if name in stored and stored[name].place is HANDED_OVER]
    return wire.model(nodes, build.used.values(), _inputs(shape), _outputs(shape)), weights


def _table(build: Build) -> str:
    """Rows of the table of tokens; in whole numbers, it is the last layer's own weight seen from the other side."""
    sizes = build.shape.vocabulary, build.shape.width
    if "table.q8" in build.stored:
        block = build.shape.width // max(1, build.stored["table.s"].sizes[-1])
        table = build.weight("table.q8", *sizes)
        scales = build.weight("table.s", sizes[0], sizes[1] // max(1, block))
        return build("GatherBlockQuantized", table, "tokens", scales, domain=MICROSOFT, bits=8, block_size=block,
                     gather_axis=0, quantize_axis=1)  # fmt: skip
    return build("Gather", build.weight("table.w", *sizes), "tokens")


def _places(build: Build, value: str) -> str:
    shape = build.shape
    if shape.family == "gpt2":
        return build("Add", value, build("Gather", build.weight("places.w", shape.context, shape.width), "place"))
    return build("Mul", value, build.weight("table.scale", 1)) if shape.family == "gemma3" else value


def _after(build: Build, value: str, name: str) -> str:
    """Gemma normalises also what a layer gives."""
    return build.norm(value, name) if build.shape.family == "gemma3" else value


def _attention(build: Build, value: str, layer: int) -> str:
    shape, name = build.shape, f"layer{layer}"
    widths = [shape.heads * shape.head_width, *[shape.key_heads * shape.head_width] * 2]
    joint = build.dense(value, f"{name}.qkv", shape.width, sum(widths))
    parts = [joint, "", ""]
    if shape.norms:
        parts = [f"{name}.query", f"{name}.key", f"{name}.value"]
        build("Split", joint, build.numbers(*widths), to=parts, axis=-1)
        parts = [
            _per_head(build, parts[0], f"{name}.query_norm", widths[0]),
            _per_head(build, parts[1], f"{name}.key_norm", widths[1]),
            parts[2],
        ]
    near = layer in shape.local_layers
    turned = "local" if near and shape.local_rope else "rotary"
    rotary = _turned(build, turned) if shape.rope else []
    local: dict[str, wire.Value] = {"local_window_size": shape.local} if near else {}
    outputs = [f"{name}.seen", f"new_keys{layer}", f"new_values{layer}"]
    return build("GroupQueryAttention", *parts, f"keys{layer}", f"values{layer}", "before", "total", *rotary,
                 to=outputs, domain=MICROSOFT, num_heads=shape.heads, kv_num_heads=shape.key_heads,
                 do_rotary=int(bool(rotary)), scale=shape.scale, **local)  # fmt: skip


def _turned(build: Build, name: str) -> list[str]:
    """The tables of rotary places, which are made when a decoder is opened."""
    return [build.weight(f"{name}.{part}", *build.stored[f"{name}.{part}"].sizes) for part in ("cos", "sin")]


def _per_head(build: Build, value: str, name: str, width: int) -> str:
    """Each head's part normalised by itself."""
    heads = build("Reshape", value, build.numbers(0, 0, -1, build.shape.head_width))
    return build("Reshape", build.norm(heads, name, build.shape.head_width), build.numbers(0, 0, width))


def _inner(build: Build, value: str, name: str) -> str:
    shape = build.shape
    if shape.family == "gpt2":
        widened = build("Gelu", build.dense(value, f"{name}.up", shape.width, shape.inner), approximate="tanh")
        return build.dense(widened, f"{name}.down", shape.inner, shape.width)
    both = [f"{name}.gate", f"{name}.lifted"]
    joint = build.dense(value, f"{name}.up", shape.width, 2 * shape.inner)
    build("Split", joint, build.numbers(shape.inner, shape.inner), to=both, axis=-1)
    return build.dense(build("Mul", _opened(build, both[0]), both[1]), f"{name}.down", shape.inner, shape.width)


def _opened(build: Build, gate: str) -> str:
    if build.shape.family == "gemma3":
        return build("Gelu", gate, approximate="tanh")
    return build("QuickGelu", gate, domain=MICROSOFT, alpha=1.0)


def _wanted(build: Build, value: str, width: int) -> str:
    """The places of a value (rows, tokens, width) whose logits are wanted, as one row of them."""
    return build("Gather", build("Reshape", value, build.numbers(1, -1, width)), "at", axis=1)


def _logits(build: Build, value: str) -> None:
    shape = build.shape
    flat = build("Reshape", value, build.numbers(-1, shape.width))
    if "head.q8" in build.stored:
        logits = build.dense(flat, "head", shape.width, shape.vocabulary)
    else:
        name = "table.w" if shape.tied else "head.w"
        logits = build("Gemm", flat, build.weight(name, shape.vocabulary, shape.width), transB=1)
    build("Identity", logits, to=["logits"])


def _inputs(shape: Shape) -> list[bytes]:
    places = [wire.value("place", wire.INT64, ["rows", "width"])] if shape.family == "gpt2" else []
    return [
        wire.value("tokens", wire.INT64, ["rows", "width"]),
        wire.value("before", wire.INT32, ["rows"]),
        wire.value("total", wire.INT32, []),
        wire.value("at", wire.INT64, ["wanted"]),
        *places,
        *_kept(shape, ""),
    ]


def _outputs(shape: Shape) -> list[bytes]:
    return [wire.value("logits", wire.FLOAT, ["answers", shape.vocabulary]), *_kept(shape, "new_")]


def _kept(shape: Shape, prefix: str) -> list[bytes]:
    sizes: list[wire.Dimension] = ["rows", shape.key_heads, "window", shape.head_width]
    names = (f"{prefix}{part}{layer}" for layer in range(shape.layers) for part in ("keys", "values"))
    return [wire.value(name, wire.FLOAT, sizes) for name in names]
