"""Reads the folder of a Hugging Face model as untrusted input: settings, tokenizer, and weights in safetensors."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.safetensors import Tensors
from handrail.core.errors import HandrailError

MAX_JSON_BYTES: Final = 4 * 2**20
MAX_INDEX_BYTES: Final = 16 * 2**20
MAX_TOKENIZER_BYTES: Final = 64 * 2**20
FILE: Final = re.compile(r"[\w.-]{1,120}\.safetensors")
NAMES: Final = ("bos_token", "eos_token", "unk_token", "pad_token")
# Marks after which an answer is over, in the templates of known families.
TURN_ENDS: Final = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eom_id|>", "<|endoftext|>")
BETWEEN: Final = "<|endoftext|>"
DEFAULTS: Final = {"temperature": float, "top_p": float, "top_k": int, "repetition_penalty": float, "min_p": float}


@dataclass(frozen=True)
class Folder:
    """What a folder holds. `sources`: the name of each tensor → the file's tensors; `weights` are the files."""

    config: dict[str, Any]
    sources: Mapping[str, Tensors]
    weights: tuple[Path, ...]
    tokenizer_json: bytes
    chat_template: str | None
    special: dict[str, Any]
    defaults: dict[str, Any]
    licence: str

    def get(self, name: str) -> np.ndarray:
        """A tensor as float32."""
        return np.asarray(self.sources[name][name], dtype=np.float32)


def read_folder(path: Path) -> Folder:
    """The model in a folder. Raises HandrailError ("data") that says what is missing and what to do about it."""
    config = _json(path, "config.json", needed=True)
    if "auto_map" in config:
        mend = "take a model of the GPT-2, Llama, Mistral, Qwen2, Qwen3 or Gemma 3 family, which need none"
        raise HandrailError("data", "this model needs code of its own (auto_map), which is never run", mend,
                            where=str(path))  # fmt: skip
    files = _weight_files(path)
    tensors: dict[str, Tensors] = {}
    for file in files:
        found = Tensors(_mapped(file), str(file))
        if twice := tensors.keys() & found.keys():
            raise _off(path, f"two files hold the tensor {min(twice)[:80]}")
        tensors |= dict.fromkeys(found, found)
    tokenizer = _tokenizer(path, str(config.get("model_type")))
    said, wanted = _json(path, "tokenizer_config.json"), _json(path, "generation_config.json")
    template = _template(path, said)
    return Folder(
        config=config, sources=tensors, weights=tuple(files), tokenizer_json=tokenizer, chat_template=template,
        special=special_of(tokenizer, config, said, wanted, template), defaults=_defaults(path, wanted),
        licence=_licence(path),
    )  # fmt: skip


def special_of(
    tokenizer_json: bytes, config: Mapping[str, Any], said: Mapping[str, Any], wanted: Mapping[str, Any],
    template: str | None,
) -> dict[str, Any]:  # fmt: skip
    """The marks of a model, from its config.json, tokenizer_config.json (`said`) and generation_config.json (`wanted`).

    See `tasks.generation.export` for what comes out.
    """
    try:
        file = json.loads(tokenizer_json)
        numbers = {item["content"]: item["id"] for item in file.get("added_tokens") or []}
        known = file["model"]["vocab"]
        numbers = (known if isinstance(known, dict) else {}) | numbers
        names = {name: text for name in NAMES if (text := _text(said.get(name))) in numbers}
        by_number = {number: text for text, number in numbers.items()}
        for name in NAMES:
            number = _first(wanted.get(f"{name}_id"), config.get(f"{name}_id"))
            if name not in names and number in by_number:
                names[name] = by_number[number]
        ends = {*_numbers(wanted.get("eos_token_id")), *_numbers(config.get("eos_token_id"))}
        ends |= {numbers[names["eos_token"]]} if "eos_token" in names else set()
        ends |= {numbers[mark] for mark in TURN_ENDS if mark in numbers and mark in (template or "")}
        ends |= {item["id"] for item in file.get("added_tokens") or [] if item["content"] == BETWEEN}
        begin = numbers.get(names.get("bos_token", ""))
        adds = begin is not None and (said.get("add_bos_token") is True or _begins(file, names["bos_token"]))
        # Where nothing begins a text, what stands between two texts does.
        begin = begin if adds else numbers.get(BETWEEN, begin)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        mend = "bring the tokenizer.json that belongs to the model"
        raise HandrailError("data", f"this tokenizer.json cannot be taken: {str(error)[:200]}", mend) from error
    return {"begin": begin, "adds_begin": adds, "ends": sorted(ends), "names": names}


def _begins(file: Mapping[str, Any], name: str) -> bool:
    """Whether the tokenizer's own last step puts the mark in front of every text."""
    last = file.get("post_processor") or {}
    for step in last.get("processors") or [last]:
        first = (step.get("single") or [{}])[0]
        if (first.get("SpecialToken") or {}).get("id") == name:
            return True
    return False


def _weight_files(path: Path) -> list[Path]:
    """The files of weights: one, or those that an index lists, all of them in the folder itself."""
    if (path / "model.safetensors").is_file():
        return [path / "model.safetensors"]
    if (path / "model.safetensors.index.json").is_file():
        index = _json(path, "model.safetensors.index.json", most=MAX_INDEX_BYTES).get("weight_map")
        listed = list(index.values()) if isinstance(index, dict) else []
        if not listed or not all(isinstance(name, str) and FILE.fullmatch(name) for name in listed):
            raise _off(path, "model.safetensors.index.json names no files of weights beside it")
        names = sorted(set(listed))
        if absent := [name for name in names if not (path / name).is_file()]:
            raise _off(path, f"{absent[0]} is missing, which model.safetensors.index.json lists")
        return [path / name for name in names]
    if (path / "adapter_config.json").is_file():
        raise _off(path, "it holds an adapter, not a model", "merge it into its base, then give that folder")
    if list(path.glob("*.bin")) or list(path.glob("*.pt")) or list(path.glob("*.pth")):
        mend = ("where you trust it, write it anew: python -c \"from transformers import AutoModelForCausalLM as M; "
                "M.from_pretrained('FOLDER').save_pretrained('NEW')\"")  # fmt: skip
        raise _off(path, "its weights are pickled (.bin), and opening those can run anything", mend)
    raise _off(path, "there is no model.safetensors in it")


def _mapped(file: Path) -> memoryview:
    """A file's bytes without a copy. A hub's client keeps files behind links, so links are followed."""
    with file.open("rb") as opened:
        try:
            return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        except (ValueError, OSError) as error:
            raise _off(file.parent, f"{file.name} cannot be read: {error}") from error


def _tokenizer(path: Path, kind: str) -> bytes:
    file = path / "tokenizer.json"
    if not file.is_file() and kind == "gpt2" and (path / "merges.txt").is_file():
        return _of_pairs(path)
    if not file.is_file():
        mend = ("write one: python -c \"from transformers import AutoTokenizer as T; "
                "T.from_pretrained('FOLDER').save_pretrained('FOLDER')\"")  # fmt: skip
        raise _off(path, "there is no tokenizer.json in it", mend)
    return _read(file, MAX_TOKENIZER_BYTES)


def _of_pairs(path: Path) -> bytes:
    """A tokenizer.json of the two files that GPT-2's folders had before there was one."""
    vocabulary = _json(path, "vocab.json", needed=True, most=MAX_TOKENIZER_BYTES)
    lines = _read(path / "merges.txt", MAX_TOKENIZER_BYTES).decode("utf-8", "replace").split("\n")
    merges = [line for line in lines if line.count(" ") == 1 and not line.startswith("#version")]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    marks = [
        {"id": number, "content": name, "special": True, "normalized": False}
        for name, number in vocabulary.items()
        if name == BETWEEN
    ]
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges}
    whole = {"version": "1.0", "added_tokens": marks, "pre_tokenizer": level, "decoder": level, "model": model}
    return json.dumps(whole).encode()


def _template(path: Path, said: Mapping[str, Any]) -> str | None:
    """The chat template, from wherever the versions of transformers have kept it."""
    if (path / "chat_template.jinja").is_file():
        return _read(path / "chat_template.jinja", MAX_JSON_BYTES).decode("utf-8", "replace")
    found = _json(path, "chat_template.json").get("chat_template") or said.get("chat_template")
    if isinstance(found, list):
        by_name = {str(item.get("name")): item.get("template") for item in found if isinstance(item, dict)}
        found = by_name.get("default") or next(iter(by_name.values()), None)
    return found if isinstance(found, str) else None


def _defaults(path: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the makers recommend, where they are ones that we know."""
    if wanted.get("do_sample") is False:
        return {}
    try:
        return {
            name: kind(wanted[name]) for name, kind in DEFAULTS.items()
            if isinstance(wanted.get(name), int | float) and not isinstance(wanted.get(name), bool)
        }  # fmt: skip
    except (ValueError, OverflowError) as error:
        raise _off(path, f"generation_config.json holds an impossible number: {error}") from error


def _licence(path: Path) -> str:
    """From the head of the model's card, where it came along."""
    card = path / "README.md"
    if not card.is_file():
        return "not said"
    head = _read(card, MAX_JSON_BYTES)[:4_000].decode("utf-8", "replace")
    found = re.search(r"^license:\s*([\w.-]{1,40})\s*$", head, re.MULTILINE)
    return found[1] if found else "not said"


def _json(path: Path, name: str, *, needed: bool = False, most: int = MAX_JSON_BYTES) -> dict[str, Any]:
    if not (path / name).is_file():
        if needed:
            raise _off(path, f"there is no {name} in it")
        return {}
    try:
        found = json.loads(_read(path / name, most))
    except (ValueError, RecursionError) as error:
        raise _off(path, f"{name} is not valid JSON: {str(error)[:120]}") from error
    if not isinstance(found, dict):
        raise _off(path, f"{name} is not an object")
    return found


def _read(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise _off(file.parent, f"{file.name} is larger than {most:,} bytes")
    return content


def _text(token: Any) -> str:
    """A token's name as tokenizer_config.json writes it: a text, or an object with one."""
    return str(token.get("content", "")) if isinstance(token, dict) else token if isinstance(token, str) else ""


def _numbers(given: Any) -> Sequence[int]:
    found = given if isinstance(given, list) else [given]
    return [number for number in found if type(number) is int and 0 <= number < 2**24]


def _first(*given: Any) -> int | None:
    return next((numbers[0] for numbers in map(_numbers, given) if numbers), None)


def _off(path: Path, problem: str, mend: str = "fetch the model again, all of its files") -> HandrailError:
    return HandrailError("data", f"this folder cannot be taken: {problem}", mend, where=str(path))
