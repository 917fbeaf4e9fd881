"""From a decoder in Hugging Face's names to what a bundle keeps of it: numbers, a tokenizer, a template, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.safetensors_writing import write_safetensors
from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.encode.chat import Chat
from handrail.encode.tokenizer_file import checked_tokenizer, packed_tokenizer
from handrail.encode.tokens import tokenizer_from
from handrail.generate.settings import settings_from
from handrail.runtimes.decoder import packed, shape_of

WEIGHTS: Final = "weights/decoder.safetensors"
TOKENIZER: Final = "encode/tokenizer.json"
TEMPLATE: Final = "encode/chat_template.txt"
BITS: Final = (8, 4, 32)
# Tokens that a continuation may look back on, where a model could more: the memory is taken as they come.
LONGEST_WINDOW: Final = 8192
EXAMPLE: Final = "Once upon a time"


@dataclass(frozen=True)
class Exported:
    """What `write_bundle` takes: members as bytes, those that lie in the folder already, and the manifest's parts."""

    files: dict[str, bytes]
    placed: tuple[str, ...]
    encode: dict[str, Any]
    signature: Signature


def generation_files(
    folder: Path, config: Mapping[str, Any], get: Callable[[str], np.ndarray], names: Iterable[str], *,
    tokenizer_json: bytes, special: Mapping[str, Any], chat_template: str | None = None, bits: int = 8,
    window: int | None = None, defaults: Mapping[str, Any] | None = None,
) -> Exported:  # fmt: skip
    """Writes the weights into `folder` tensor by tensor, rounded to `bits`, and gives all else.

    `get` gives a float32 array by Hugging Face's name. `special`: {"begin": token or None, "adds_begin": whether a
    text starts with it, "ends": [tokens], "names": {"eos_token": "</s>", …} for the template}. `defaults` are settings
    where a request says nothing. Raises HandrailError for a model that cannot be taken.
    """
    if bits not in BITS:
        raise HandrailError("usage", f"weights of {bits} bits are not kept", "take 8, 4 or 32", field="bits")
    shape = shape_of(config, "config.json")
    tokenizer = tokenizer_from(tokenizer_json, special)
    if tokenizer.size > shape.vocabulary:
        problem = f"the tokenizer knows {tokenizer.size:,} tokens, the model {shape.vocabulary:,}"
        raise HandrailError("data", problem, "bring the tokenizer.json that belongs to the model")
    settings_from(defaults or {})
    files = {TOKENIZER: packed_tokenizer(checked_tokenizer(tokenizer_json))}
    if chat_template is not None:
        _try(Chat(chat_template, special.get("names")))
        files[TEMPLATE] = chat_template.encode("utf-8")
    write_safetensors(folder / WEIGHTS, packed(config, get, names, bits))
    encode = {
        "shape": shape.as_dict(),
        "bits": bits,
        "window": min(window or LONGEST_WINDOW, shape.context),
        "special": {"begin": None, "adds_begin": False, "ends": [], "names": {}, **special},
        "defaults": dict(defaults or {}),
    }
    signature = Signature((Field("prompt", "text", example=EXAMPLE),), Output("text", "text"))
    return Exported(files, (WEIGHTS,), encode, signature)


def _try(chat: Chat) -> None:
    """Raises HandrailError ("bundle") for a template that fails; one may refuse this talk for reasons of its own."""
    try:
        chat.prompt([{"role": "user", "content": EXAMPLE}])
    except HandrailError as error:
        if error.code != "data":
            raise
