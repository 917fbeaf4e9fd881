"""From a decoder to a model that is kept: rounded, opened again, measured against what it was, proven, published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail import __version__
from handrail.catalog.decoders import DecoderBase
from handrail.core.bundle import Manifest, open_bundle, to_json, write_bundle
from handrail.core.events import Said, Tell, quiet
from handrail.core.processors import processors
from handrail.encode.chat import Chat
from handrail.encode.tokens import Tokenizer
from handrail.generate.settings import Settings
from handrail.model import Model, load
from handrail.runtimes.decoder import open_decoder, packed, shape_of
from handrail.store import Store, check_name
from handrail.tasks.generation.export import Exported, generation_files
from handrail.tasks.generation.measure import examples_of, speed, text_quality
from handrail.tasks.generation.predict import Writer
from handrail.tasks.generation.predict import load as load_writer

# Written for this: plain English on several subjects, which no model has seen.
PASSAGE: Final = Path(__file__).with_name("passage.txt")
# Above this many parameters a model is not opened as it was: its float32 numbers would take more than 4 GB.
MOST_COMPARED: Final = 1_000_000_000


@dataclass(frozen=True)
class Precision:
    """What one way to keep the weights costs, measured on the passage; `bits` 32 is the model as it came."""

    bits: int
    bytes: int
    bits_per_byte: float
    perplexity: float
    tokens_per_s: float

    def as_dict(self) -> dict[str, float]:
        return {"bits": self.bits, "bytes": self.bytes, "bits_per_byte": round(self.bits_per_byte, 4),
                "perplexity": round(self.perplexity, 4), "tokens_per_s": round(self.tokens_per_s, 1)}  # fmt: skip


def keep_decoder(
    base: DecoderBase, name: str, *, bits: int = 8, window: int | None = None, parts: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None, home: Path | None = None, tell: Tell = quiet,
    compares: bool = True,
) -> Model:  # fmt: skip
    """The decoder as the next version of `name`, after it was read back and has answered its own examples.

    `parts` are fields of the manifest (plan, seed, data, base …), `files` members beside the usual ones (report.json).
    `compares` measures what rounding the weights costs.
    """
    check_name(name)
    store = Store(home)
    with store.draft() as folder:
        tell(Said(f"writing weights of {bits} bits"))
        exported = generation_files(
            folder, base.config, base.get, base.names, tokenizer_json=base.tokenizer_json, special=base.special,
            chat_template=base.chat_template, bits=bits, window=window, defaults=base.defaults,
        )  # fmt: skip
        manifest = _manifest(base, name, exported, parts or {})
        members = {"report.json": to_json({}), **exported.files, **(files or {})}
        complete = write_bundle(folder, manifest, members, exported.placed)
        writer = load_writer(open_bundle(folder), threads=processors(), slots=1)
        if compares:
            precision = _compared(base, bits, complete.files[exported.placed[0]]["bytes"], writer, tell)
            manifest.data["precision"] = [one.as_dict() for one in precision]
        members["examples.json"] = to_json(examples_of(writer))
        write_bundle(folder, manifest, members, exported.placed)
        load(folder).check()
        store.publish(folder, name)
    return load(name, home=home)


def _manifest(base: DecoderBase, name: str, exported: Exported, parts: Mapping[str, Any]) -> Manifest:
    usual = {
        "base": base.as_dict(),
        "data": {"source": base.source, "trivial": []},
        "versions": {"handrail": __version__},
    }
    return Manifest(name=name, task="generation", signature=exported.signature, encode=exported.encode,
                    **{**usual, **parts})  # fmt: skip


def _compared(base: DecoderBase, bits: int, size: int, writer: Writer, tell: Tell) -> list[Precision]:
    """The model as it came, where it fits, and as it is kept."""
    text = PASSAGE.read_text("utf-8")
    found = []
    shape = shape_of(base.config, base.source)
    if bits != 32 and shape.parameters <= MOST_COMPARED:
        tell(Said("measuring what the rounding costs"))
        whole = _whole(base, writer.tokenizer)
        found.append(_precision(whole, 32, 4 * shape.parameters, text))
    return [*found, _precision(writer, bits, size, text)]


def _whole(base: DecoderBase, tokenizer: Tokenizer) -> Writer:
    """The model with the numbers it came with, for measuring."""
    shape = shape_of(base.config, base.source)
    tensors: dict[str, np.ndarray] = dict(packed(base.config, base.get, base.names, 32))
    decoder = open_decoder(shape, tensors, threads=processors(), slots=1, window=min(1024, shape.context))
    adds_begin = bool(base.special.get("adds_begin"))
    return Writer(decoder, tokenizer, Chat(None), defaults=Settings(), adds_begin=adds_begin)


def _precision(writer: Writer, bits: int, size: int, text: str) -> Precision:
    quality = text_quality(writer, text)
    return Precision(bits, size, quality["bits_per_byte"], quality["perplexity"], speed(writer))
