"""What a training starts from: a base of the catalog, a folder, a file, a hub's; or a model of ours, gone on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.decoders import DecoderBase, decoder_base
from handrail.catalog.safetensors import read_safetensors
from handrail.core.bundle import MODEL_NAME, Bundle, open_bundle
from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell
from handrail.finetuning.tuned import with_tuned
from handrail.store import Store, split_reference
from handrail.tasks.generation.export import TEMPLATE, TOKENIZER

# Members of a bundle that let its training go on, and its weights be written in other formats.
TUNED: Final = "weights/tuned.safetensors"
CONFIG: Final = "encode/config.json"


@dataclass(frozen=True)
class Start:
    """A network's config and numbers before training, its tokenizer and template.

    `get` gives a tensor of `names` as float32. `tuned` is what an earlier training of ours added to the base that
    `reference` names.
    """

    reference: str
    name: str
    config: dict[str, Any]
    names: tuple[str, ...]
    get: Callable[[str], np.ndarray]
    tokenizer_json: bytes
    chat_template: str | None
    special: dict[str, Any]
    about: dict[str, Any]
    licence: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, np.ndarray] = field(default_factory=dict)


def start_of(reference: str, store: Store, tell: Tell) -> Start:
    """What `reference` names: a model of the store first, then what `decoder_base` knows.

    Raises HandrailError that says what can be had instead.
    """
    if (bundle := _kept(reference, store)) is not None:
        return of_bundle(bundle, store.home / "bases", tell)
    return _of_base(decoder_base(reference, store.home / "bases", tell), reference)


def of_bundle(bundle: Bundle, cache: Path, tell: Tell) -> Start:
    """A model of ours as it was when its training ended, before its numbers were rounded.

    Raises HandrailError ("usage", "bundle") where it does not write, or was made of a base that is not at hand.
    """
    manifest = bundle.manifest
    if manifest.task != "generation":
        problem = f"{manifest.name} does not write text: it is for {manifest.task}"
        raise HandrailError("usage", problem, "give --base the name of a model that writes", field="base")
    if TUNED not in manifest.files:
        reference = str(manifest.base.get("reference") or manifest.base.get("name") or "")
        tell(Said(f"{manifest.name} was not trained here: its base, {reference}, is started from"))
        return _of_base(decoder_base(reference, cache, tell), reference)
    tuned = {name: np.array(one) for name, one in read_safetensors(_whole(bundle), TUNED).items()}
    reference = str(manifest.base.get("reference") or "")
    start = _of_base(decoder_base(reference, cache, tell), reference) if reference else _scratch(bundle)
    if reference and start.about.get("sha256") != manifest.base.get("sha256"):
        problem = f"the base '{reference}' is another one than {manifest.name} was made of (sha256 differs)"
        raise HandrailError("bundle", problem, "bring the base it was made of, or start from a base itself")
    kept = {member: bundle.read(member) for member in (TOKENIZER, TEMPLATE) if member in manifest.files}
    return dataclasses.replace(
        start, name=manifest.name, get=with_tuned(start.get, tuned), tuned=tuned, tokenizer_json=kept[TOKENIZER],
        chat_template=kept[TEMPLATE].decode() if TEMPLATE in kept else None, special=dict(manifest.encode["special"]),
    )  # fmt: skip


def _of_base(base: DecoderBase, reference: str) -> Start:
    return Start(
        reference=reference, name=base.name, config=dict(base.config), names=tuple(base.names), get=base.get,
        tokenizer_json=base.tokenizer_json, chat_template=base.chat_template, special=dict(base.special),
        about={**base.as_dict(), "reference": reference}, licence=base.licence, defaults=dict(base.defaults),
    )  # fmt: skip


def _scratch(bundle: Bundle) -> Start:
    """A model that has no base: all its numbers are among what was trained."""
    config = bundle.read_json(CONFIG)
    tuned = read_safetensors(_whole(bundle), TUNED)
    return Start(
        reference="", name=bundle.manifest.name, config=config, names=tuple(tuned), get=_nothing, tokenizer_json=b"",
        chat_template=None, special={}, about=dict(bundle.manifest.base),
    )  # fmt: skip


def _nothing(name: str) -> np.ndarray:
    raise KeyError(name)


def _whole(bundle: Bundle) -> Any:
    mapped = bundle.map(TUNED)
    mapped.check()
    return mapped.content


def _kept(reference: str, store: Store) -> Bundle | None:
    """The bundle of a model in the store that is called so; names of the catalog's bases are the bases."""
    name = reference.partition("@")[0]
    if not MODEL_NAME.fullmatch(name) or Path(reference).exists():
        return None
    split_reference(reference)
    if "@" not in reference and name not in store.names():
        return None
    return open_bundle(store.find(reference))


def config_json(config: Mapping[str, Any]) -> bytes:
    """The config as a member of a bundle."""
    return json.dumps(config, sort_keys=True, indent=1, allow_nan=False).encode()
