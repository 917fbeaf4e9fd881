"""Writes safetensors files tensor by tensor: what is written need never be in memory as a whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.safetensors import MAX_HEADER_BYTES
from handrail.core.files import drafted_file

KINDS: Final = {"float32": "F32", "float16": "F16", "uint8": "U8", "int32": "I32", "int64": "I64"}
# Room for the header, which is known last and stands first; blanks are allowed at its end.
HEADER_BYTES: Final = 2**18


def write_safetensors(
    path: Path, tensors: Iterable[tuple[str, np.ndarray]], *, metadata: Mapping[str, str] | None = None,
    header_bytes: int = HEADER_BYTES,
) -> int:  # fmt: skip
    """Writes named arrays in the order they come; gives the bytes written. The same tensors give the same bytes.

    Raises ValueError where the header needs more than `header_bytes`: 120 a tensor, and what `metadata` takes.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    with drafted_file(path) as file:
        file.seek(8 + header_bytes)
        for name, tensor in tensors:
            array = np.ascontiguousarray(tensor)
            shape = list(tensor.shape)
            header[name] = {
                "dtype": KINDS[array.dtype.name],
                "shape": shape,
                "data_offsets": [place, place + array.nbytes],
            }
            file.write(array.reshape(-1).view(np.uint8).data)
            place += array.nbytes
        content = json.dumps(header, separators=(",", ":")).encode("ascii")
        if len(content) > min(header_bytes, MAX_HEADER_BYTES):
            raise ValueError(f"a header of {len(content):,} bytes")
        file.seek(0)
        file.write(struct.pack("<Q", header_bytes) + content.ljust(header_bytes))
    return 8 + header_bytes + place
