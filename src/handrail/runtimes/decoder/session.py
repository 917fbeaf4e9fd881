"""Runs a decoder: weights in, logits out, with the keys and values of many continuations in one arena of slots."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.runtimes.decoder.graph import HANDED_OVER, Stored, graph
from handrail.runtimes.decoder.rounding import LONGEST_SINGLE
from handrail.runtimes.decoder.shape import Shape, rotations

WEIGHTS_FOLDER: Final = "session.model_external_initializers_file_folder_path"


class Decoder:
    """An opened decoder; one thread at a time.

    The slots are the outermost dimension of each layer's keys and values, so the first n of them are a batch without
    a copy: whoever leaves is replaced by the last (`move`). A slot's untouched pages cost no memory.
    """

    def __init__(self, shape: Shape, session: Any, arena: _Arena, *, pairs: bool) -> None:
        self.shape = shape
        self.window = arena.window
        self.slots = arena.slots
        self.token_bytes = shape.token_bytes
        self._session = session
        self._arena = arena
        # Long blocks are multiplied with two rows at a time. A row that is left over is rounded in another way: its
        # text would depend on how many others are written beside it. So there is always one beside it.
        self._pairs = pairs
        # One for all sizes of a batch: its pages are touched as far as the largest one.
        self._logits = np.empty((self.slots + 1, shape.vocabulary), np.float32)
        self._steps: dict[int, _Step] = {}
        self._prefills: dict[int, Any] = {}

    def step(self, rows: int, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """One more token for each of the first `rows` slots: logits (rows, vocabulary) float32.

        `tokens` (rows,) int64; `lengths` (rows,) int32 are the tokens that each slot held before this one. The next
        step overwrites the logits.
        """
        whole = rows + (rows % 2 if self._pairs else 0)
        if whole not in self._steps:
            self._steps[whole] = _Step(self.shape, self._session, self._arena, self._logits[:whole])
        with self._arena.spared(whole - 1 if whole > rows else None):
            return self._steps[whole].run(tokens, lengths)

    def prefill(self, slot: int, tokens: np.ndarray, length: int, *, wants: bool = True) -> np.ndarray | None:
        """Adds a piece of one prompt to a slot that holds `length` tokens.

        Gives the logits (vocabulary,) after its last token, or None where nobody `wants` them.
        """
        logits = self._read(slot, tokens, length, [len(tokens) - 1] if wants else [])
        return logits[0] if wants else None

    def foresee(self, slot: int, tokens: np.ndarray, length: int) -> np.ndarray:
        """`prefill` that gives the logits (tokens, vocabulary) after each token: how well a text is foreseen."""
        return self._read(slot, tokens, length, list(range(len(tokens))))

    def _read(self, slot: int, tokens: np.ndarray, length: int, at: list[int]) -> np.ndarray:
        if slot not in self._prefills:
            self._prefills[slot] = self._session.io_binding()
            _bind_kept(self._prefills[slot], self._arena.views(slot, slot + 1))
        if len(tokens) % 2:
            # One token alone, and the last of 33 or 129, is multiplied in another order than among others, too. What a
            # token beside it leaves behind is overwritten by the next.
            tokens = np.append(tokens, 0)
        wanted = [*at, *at[-1:]] if self._pairs and len(at) % 2 else at
        return _run(self._session, self._prefills[slot], _given(self.shape, tokens, length, wanted))[: len(at)]

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the keys and values of the first `length` tokens of one slot into another."""
        for part in self._arena.numbers:  # All at once, numpy would copy them twice.
            part[target, :, :length] = part[source, :, :length]

    def forget(self, slot: int) -> None:
        """Gives a slot's memory back to the system."""
        self._arena.forget(slot)


@dataclass(frozen=True)
class File:
    """A file, and its content as it is mapped: what arrays are views of.

    onnxruntime maps the file once more and lets go of each weight that it has packed; arrays it would copy first,
    which takes twice the memory and half as much time again.
    """

    path: Path
    content: memoryview

    def place(self, array: np.ndarray) -> Mapping[str, str]:
        """Where an array lies; one that lies elsewhere, or at an odd place, is handed over."""
        first = array.ctypes.data - np.frombuffer(self.content, np.uint8).ctypes.data
        inside = 0 <= first <= len(self.content) - array.nbytes
        if not inside or first % array.itemsize or not array.flags.c_contiguous:
            return HANDED_OVER
        return {"location": self.path.name, "offset": str(first), "length": str(array.nbytes)}

    def let_go(self) -> None:
        """Pages that were looked at here no longer count as this process's memory; the arrays stay what they are."""
        mapped = self.content.obj
        if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def open_decoder(
    shape: Shape, tensors: Mapping[str, np.ndarray], *, threads: int = 1, slots: int = 1, window: int | None = None,
    file: File | None = None,
) -> Decoder:  # fmt: skip
    """A decoder of these weights (see `weights.packed`) with room for `slots` continuations of `window` tokens.

    `file` is where the tensors lie, if they do. Raises HandrailError ("bundle") where shape and weights do not belong
    together.
    """
    longest = min(window or shape.context, shape.context)
    try:
        arrays = {**tensors, **_derived(shape, tensors, longest)}
        stored = {
            name: Stored(array.dtype.name, array.shape, HANDED_OVER if file is None else file.place(array))
            for name, array in arrays.items()
        }
        content, wanted = graph(shape, stored)
    except (LookupError, TypeError, ValueError) as error:
        said = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        problem = f"weights and shape do not belong together: {said[:200]}"
        raise HandrailError("bundle", problem, "import or train it again") from error
    session = _session(content, {name: arrays[name] for name in wanted}, threads=threads, file=file)
    if file is not None:
        file.let_go()
    return Decoder(shape, session, _Arena(shape, slots, longest), pairs=_has_pairs(arrays))


def _session(content: bytes, given: Mapping[str, np.ndarray], *, threads: int, file: File | None) -> Any:
    """The graph, opened, with the weights that lie in no file. Raises HandrailError ("bundle") for what cannot be."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    if file is not None:
        options.add_session_config_entry(WEIGHTS_FOLDER, str(file.path.absolute().parent))
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Nothing is to be gained by fusing nodes: the graph is written as it is to run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in given.values()]
    options.add_external_initializers(list(given), values)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.NotImplemented,
        state.RuntimeException,
    ) as error:
        problem = f"onnxruntime does not open these weights: {str(error)[:200]}"
        raise HandrailError("bundle", problem, "import or train it again, or free some memory") from error


def _derived(shape: Shape, tensors: Mapping[str, np.ndarray], window: int) -> dict[str, np.ndarray]:
    """What needs no room in a file: the table of tokens seen as rows, and the tables of rotary places."""
    found = {}
    table = "head" if shape.tied else "table"
    if f"{table}.q8" in tensors:
        found["table.s"] = tensors[f"{table}.s"]
        found["table.q8"] = tensors[f"{table}.q8"].reshape(len(found["table.s"]), -1)
    for name, rope in {"rotary": shape.rope, "local": shape.local_rope}.items():
        if rope:
            found[f"{name}.cos"], found[f"{name}.sin"] = rotations(shape, rope, window + 1)
    if shape.family == "gemma3":
        found["table.scale"] = np.array([shape.width**0.5], dtype=np.float32)
    return found


def _has_pairs(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a weight lies in blocks so long that rows are multiplied in pairs (see `rounding.LONGEST_SINGLE`)."""
    blocks = [array.shape[2] * 8 // bits > LONGEST_SINGLE[bits] for bits in LONGEST_SINGLE
              for name, array in arrays.items() if name.endswith(f".q{bits}") and array.ndim == 3]  # fmt: skip
    return any(blocks)


class _Arena:
    """Keys and values of all layers: `numbers` (2 · layers, slots, key heads, window, head width) float32.

    There is one slot more, and places for one token more, for rows and tokens that only stand beside others.
    """

    def __init__(self, shape: Shape, slots: int, window: int) -> None:
        self.slots, self.window = slots, window
        # Slots end where pages do, so that each can give all of its memory back.
        page = mmap.PAGESIZE // math.gcd(mmap.PAGESIZE, 4 * shape.key_heads * shape.head_width)
        places = -(-(window + 1) // page) * page
        sizes = (2 * shape.layers, slots + 1, shape.key_heads, places, shape.head_width)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self._map = mmap.mmap(-1, 4 * int(np.prod(sizes, dtype=np.int64)), flags=flags)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):  # A huge page would cost 2 MB where a few tokens were written.
            self._map.madvise(mmap.MADV_NOHUGEPAGE)
        self.numbers = np.frombuffer(self._map, dtype=np.float32).reshape(sizes)

    def views(self, first: int, after: int) -> list[np.ndarray]:
        return [layer[first:after] for layer in self.numbers]

    @contextlib.contextmanager
    def spared(self, slot: int | None) -> Iterator[None]:
        """Whatever is written to the first place of a slot meanwhile is undone."""
        if slot is None:
            yield
            return
        first = self.numbers[:, slot, :, 0]
        kept = first.copy()
        yield
        first[:] = kept

    def forget(self, slot: int) -> None:
        size = self.numbers[0, 0].nbytes
        for part in range(len(self.numbers)):
            self._map.madvise(mmap.MADV_DONTNEED, (part * self.numbers.shape[1] + slot) * size, size)


class _Step:
    """All that one step of a batch of so many rows reads and writes, bound once."""

    def __init__(self, shape: Shape, session: Any, arena: _Arena, logits: np.ndarray) -> None:
        rows = len(logits)
        self._session, self._logits = session, logits
        self._given: dict[str, np.ndarray] = {
            "tokens": np.zeros((rows, 1), np.int64),
            "before": np.zeros(rows, np.int32),
            "total": np.zeros((), np.int32),
            "at": np.arange(rows, dtype=np.int64),
        }
        if shape.family == "gpt2":
            self._given["place"] = np.zeros((rows, 1), np.int64)
        self._binding = session.io_binding()
        _bind_kept(self._binding, arena.views(0, rows))
        for name, array in self._given.items():
            self._binding.bind_ortvalue_input(name, _shared(array))
        self._binding.bind_ortvalue_output("logits", _shared(self._logits))

    def run(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        rows = len(tokens)
        self._given["tokens"][:rows, 0] = tokens
        self._given["before"][:rows] = lengths
        self._given["before"][rows:] = 0
        self._given["total"][()] = lengths.max() + 1
        if "place" in self._given:
            self._given["place"][:rows, 0] = lengths
            self._given["place"][rows:, 0] = 0
        self._session.run_with_iobinding(self._binding)
        return self._logits[:rows]


def _given(shape: Shape, tokens: np.ndarray, length: int, at: list[int]) -> dict[str, np.ndarray]:
    """What the graph reads for a piece of one prompt."""
    after = length + len(tokens)
    given: dict[str, np.ndarray] = {
        "tokens": np.ascontiguousarray(tokens, dtype=np.int64).reshape(1, -1),
        "before": np.array([after - 1], np.int32),
        "total": np.array(after, np.int32),
        "at": np.array(at, np.int64),
    }
    if shape.family == "gpt2":
        given["place"] = np.arange(length, after, dtype=np.int64).clip(max=shape.context - 1).reshape(1, -1)
    return given


def _run(session: Any, binding: Any, given: Mapping[str, np.ndarray]) -> np.ndarray:
    for name, array in given.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("logits")
    session.run_with_iobinding(binding)
    logits: np.ndarray = binding.get_outputs()[-1].numpy()
    return logits


def _bind_kept(binding: Any, views: list[np.ndarray]) -> None:
    """Keys and values are read and written in place."""
    for number, view in enumerate(views):
        name, value = f"{('keys', 'values')[number % 2]}{number // 2}", _shared(view)
        binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(f"new_{name}", value)


def _shared(array: np.ndarray) -> Any:
    """An OrtValue over an array's own memory."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
