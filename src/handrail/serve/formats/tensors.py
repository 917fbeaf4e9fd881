"""Tensors as protocols carry them: inputs become rows of the signature, answers become one tensor for each part."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import Field, described
from handrail.core.signature import Output, Signature
from handrail.core.values import quoted
from handrail.serve.formats import matrix
from handrail.serve.formats.call import Values
from handrail.serve.formats.csv import too_many
from handrail.serve.formats.rows import Check

TEXTS: Final = "BYTES"
FLOATS: Final = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
WHOLE: Final = {f"{sign}INT{bits}": f"<{code}{bits // 8}" for sign, code in (("", "i"), ("U", "u"))
                for bits in (8, 16, 32, 64)}  # fmt: skip
NUMBERS: Final[Mapping[str, np.dtype]] = {
    name: np.dtype(code) for name, code in {"BOOL": "|b1", **WHOLE, **FLOATS}.items()
}
# Names of the one tensor that may hold all inputs side by side, where all are numbers.
WHOLE_ROW: Final = ("x", "inputs")
LENGTH: Final = struct.Struct("<I")
Cells = list[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor that came in. `cells` are flat, row by row: an array of numbers, or texts, or JSON values."""

    name: str
    shape: tuple[int, ...]
    cells: np.ndarray | Cells


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor that goes out: `(rows,)`, or `(rows, size)`; `labels` say what stands in which column."""

    name: str
    datatype: str
    size: int = 0
    labels: tuple[str, ...] = ()

    def shape(self, rows: int) -> list[int]:
        return [rows, self.size] if self.size else [rows]


def shape_of(name: str, shape: Sequence[Any], max_rows: int) -> tuple[int, ...]:
    """A shape of one or two dimensions. Raises HandrailError for every other, and for more rows than allowed."""
    if not 1 <= len(shape) <= 2 or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise _off(name, f"expected the shape [rows] or [rows, columns], received {str(list(shape[:8]))[:60]}")
    if shape[0] > max_rows:
        raise too_many(max_rows)
    return tuple(shape)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], content: bytes) -> Tensor:
    """A tensor from its bytes: little-endian, row by row; texts each behind a length of four bytes."""
    count = math.prod(shape)
    if datatype == TEXTS:
        return Tensor(name, shape, _texts(name, content, count))
    kind = _kind(name, datatype)
    if len(content) != count * kind.itemsize:
        raise _off(name, f"{count:,} {datatype} are {count * kind.itemsize:,} bytes, received {len(content):,}")
    if datatype == "BOOL":
        return Tensor(name, shape, np.frombuffer(content, np.uint8) != 0)
    return Tensor(name, shape, np.frombuffer(content, kind))


def from_list(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """A tensor from JSON: flat, or a list for each row; null is a missing cell."""
    if not isinstance(data, list):
        raise _off(name, f"expected a list of data, received {described(data)}")
    cells = data
    if data and type(data[0]) is list:
        if not all(type(row) is list for row in data):
            raise _off(name, "expected a list for each row")
        cells = [cell for row in data for cell in row]
    if len(cells) != math.prod(shape):
        raise _off(name, f"{list(shape)} are {math.prod(shape):,} cells, received {len(cells):,}")
    _check_types(name, datatype, cells)
    return Tensor(name, shape, cells)


def values_of(tensors: Sequence[Tensor], signature: Signature, check: Check, max_rows: int) -> list[Values]:
    """Rows, checked, of a tensor for each field, or, where all inputs are numbers, of one that holds them all.

    Raises HandrailError that names the tensor, or row and field.
    """
    names = [tensor.name for tensor in tensors]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise HandrailError("usage", f"the tensor {quoted(twice)} is given twice", "give it once")
    if not tensors:
        raise HandrailError("usage", "no tensors came in", f"send one for each of {listed(signature.names())}")
    first = tensors[0]
    if names[0] in WHOLE_ROW and names[0] not in signature.names() and matrix.takes_matrix(signature):
        return matrix.values_of(_numbers(first), signature)
    _check_names(names, signature)
    for tensor in tensors:
        _check_column(tensor, first, signature)
    if not first.shape[0]:
        raise HandrailError("data", "no rows", f"send {signature.sample_text()}")
    if signature.takes_vectors():
        return matrix.values_of(_side_by_side(tensors, signature), signature)
    columns = [_column(tensor) for tensor in tensors]
    return check([dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)])


def parts_of(output: Output) -> list[Part]:
    """The tensors that come out of a model, in their order."""
    if output.kind == "vector":
        return [Part("vector", "FP32", output.size)]
    if output.kind == "text":
        return [Part("text", TEXTS), Part("finish", TEXTS)]
    if output.kind == "number":
        return [Part(name, "FP64") for name in ("value", "low", "high")]
    shares = Part("probabilities", "FP64", len(output.labels), output.labels)
    if output.kind == "labels":
        return [Part("labels", TEXTS), shares]
    return [Part("label", TEXTS), Part("probability", "FP64"), shares]


def input_datatype(field: Field) -> str:
    """What a field is described as; others are taken, too, where their cells are right."""
    return {"number": "FP64", "boolean": "BOOL", "vector": "FP32"}.get(field.kind, TEXTS)


def input_shape(field: Field) -> list[int]:
    """The shape that a field is described with: -1 stands for the rows."""
    return [-1, field.size] if field.kind == "vector" else [-1]


def answers_from(answers: Sequence[bytes]) -> list[dict[str, Any]]:
    """Answers that are JSON texts, as values."""
    found: list[dict[str, Any]] = orjson.loads(b"[" + b",".join(answers) + b"]")
    return found


def cells_of(part: Part, answers: Sequence[dict[str, Any]], separator: str) -> Cells:
    """The cells of one tensor, flat, row by row."""
    if part.name == "labels":
        return [separator.join(answer["labels"]) for answer in answers]
    if part.name == "vector":
        return [number for answer in answers for number in answer["vector"]]
    if part.labels:
        return [answer["probabilities"][label] for answer in answers for label in part.labels]
    return [answer[part.name] for answer in answers]


def to_bytes(datatype: str, cells: Cells) -> bytes:
    """Cells as `from_bytes` reads them."""
    if datatype == TEXTS:
        encoded = [cell.encode() for cell in cells]
        return b"".join(LENGTH.pack(len(cell)) + cell for cell in encoded)
    return np.array(cells, NUMBERS[datatype]).tobytes()


def _kind(name: str, datatype: str) -> np.dtype:
    kind = NUMBERS.get(datatype)
    if kind is None:
        raise _off(name, f"datatype {quoted(datatype)} is not read", f"one of {listed([*NUMBERS, TEXTS], 20)}")
    return kind


def _texts(name: str, content: bytes, count: int) -> Cells:
    texts: Cells = []
    start = 0
    for _ in range(count):
        if start + LENGTH.size > len(content):
            raise _off(name, f"{count:,} texts, and bytes for {len(texts):,}")
        begin = start + LENGTH.size
        start = begin + LENGTH.unpack_from(content, start)[0]
        if start > len(content):
            raise _off(name, f"text {len(texts) + 1:,} is longer than what was sent")
        texts.append(_decoded(name, content[begin:start], len(texts)))
    if start != len(content):
        raise _off(name, f"{len(content) - start:,} bytes are left after {count:,} texts")
    return texts


def decoded_texts(name: str, cells: Sequence[bytes]) -> Cells:
    """Texts from their bytes. Raises HandrailError for what is not UTF-8."""
    return [_decoded(name, cell, place) for place, cell in enumerate(cells)]


def _decoded(name: str, content: bytes, place: int) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _off(name, f"text {place + 1:,} is not UTF-8 at byte {error.start}") from None


def _check_types(name: str, datatype: str, cells: Cells) -> None:
    """Raises HandrailError for a cell that its datatype cannot hold."""
    allowed: tuple[type, ...] = (str,)
    if datatype != TEXTS:
        kind = _kind(name, datatype)
        allowed = {"b": (bool,), "i": (int,), "u": (int,)}.get(kind.kind, (int, float))
    kinds = set(map(type, cells)) - {type(None)}
    if not kinds <= set(allowed):
        wrong = next(cell for cell in cells if cell is not None and type(cell) not in allowed)
        raise _off(name, f"expected {datatype}, received {described(wrong)}")
    if datatype in WHOLE and (whole := [cell for cell in cells if cell is not None]):
        bounds = np.iinfo(NUMBERS[datatype])
        if min(whole) < bounds.min or max(whole) > bounds.max:
            raise _off(name, f"{datatype} holds {bounds.min} to {bounds.max}")


def _numbers(tensor: Tensor) -> np.ndarray:
    cells = tensor.cells
    if isinstance(cells, np.ndarray):
        return cells.reshape(tensor.shape)
    if any(type(cell) is str for cell in cells):
        raise _off(tensor.name, "expected numbers, received texts")
    return np.array([math.nan if cell is None else cell for cell in cells], np.float64).reshape(tensor.shape)


def _check_names(names: Sequence[str], signature: Signature) -> None:
    known = {*signature.names(), *signature.ignored, signature.output.name}
    if unknown := next((name for name in names if name not in known), None):
        mend = did_you_mean(unknown, signature.names()).strip() or f"there are {listed(signature.names())}"
        raise HandrailError("data", f"no input is called {quoted(unknown)}", mend, field=unknown[:60])


def _side_by_side(tensors: Sequence[Tensor], signature: Signature) -> np.ndarray:
    """The vectors of all inputs in the signature's order, `(rows, width)`."""
    named = {tensor.name: tensor for tensor in tensors}
    if absent := next((name for name in signature.names() if name not in named), None):
        problem = f"the tensor {quoted(absent)} is missing"
        raise HandrailError("data", problem, f"send one for each of {listed(signature.names())}", field=absent)
    return np.concatenate([_numbers(named[name]) for name in signature.names()], axis=1)


def _check_column(tensor: Tensor, first: Tensor, signature: Signature) -> None:
    size = next((field.size for field in signature.inputs if field.name == tensor.name), 0)
    if tensor.shape[1:] not in (((size,),) if size else ((), (1,))):
        wanted = f"[rows, {size}]" if size else "[rows] or [rows, 1]"
        raise _off(tensor.name, f"expected the shape {wanted}, received {list(tensor.shape)}")
    if tensor.shape[0] != first.shape[0]:
        names = f"{quoted(first.name)} has {first.shape[0]:,} rows"
        raise _off(tensor.name, f"{names}, this one has {tensor.shape[0]:,}")


def _column(tensor: Tensor) -> Cells:
    """Cells as JSON would bring them: NaN is null, and there is no infinity."""
    cells = tensor.cells
    if not isinstance(cells, np.ndarray):
        return cells
    if cells.dtype.kind != "f":
        return cells.tolist()  # type: ignore[no-any-return]
    endless = np.isinf(cells)
    if endless.any():
        raise _off(tensor.name, f"expected finite numbers, received infinity in row {int(endless.argmax()) + 1}")
    return [None if cell != cell else cell for cell in cells.tolist()]  # noqa: PLR0124 - NaN is not itself


def _off(
    name: str, problem: str, mend: str = "see the model's metadata for names, datatypes and shapes"
) -> HandrailError:
    return HandrailError("data", f"tensor {quoted(name)}: {problem}", mend, field=name[:60])
