"""From texts to vectors: what an encoder is given, and vectors as answers say them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from handrail.core.bundle import Bundle
from handrail.core.signature import Columns
from handrail.encode.wordpiece import WordPiece


def pieces_in(bundle: Bundle) -> WordPiece:
    """The word pieces of a bundle for vectors. Raises KeyError, TypeError or ValueError for one that is none."""
    signature = bundle.manifest.signature
    if [field.kind for field in signature.inputs] != ["text"] or signature.output.kind != "vector":
        raise ValueError("it does not turn a text into a vector")
    vocabulary = bundle.read("encode/vocabulary.txt").decode("utf-8").split("\n")
    return WordPiece(tuple(vocabulary), int(bundle.manifest.encode["longest"]))


def text_arrays(pieces: WordPiece, columns: Columns) -> dict[str, np.ndarray]:
    """What the graph of an encoder takes, of the one column there is."""
    (texts,) = columns.values()
    input_ids, attention_mask = pieces.encode([text or "" for text in texts])
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def vector_answers(scores: np.ndarray) -> list[dict[str, Any]]:
    """`{"vector": [numbers]}` for each row of float32 `(rows, size)`, with the fewest digits that are the same number:
    0.1, not 0.10000000149011612."""
    rows = orjson.loads(orjson.dumps(np.ascontiguousarray(scores), option=orjson.OPT_SERIALIZE_NUMPY))
    return [{"vector": row} for row in rows]
