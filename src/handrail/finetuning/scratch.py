"""A start without a base: a tokenizer made of the text itself, and a small network with numbers drawn at random."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from handrail.core.errors import HandrailError
from handrail.finetuning.dialogues import PLAIN_TEMPLATE
from handrail.finetuning.documents import Document
from handrail.finetuning.starts import Start

END: Final = "<|endoftext|>"
# Pieces that a tokenizer of its own learns at most; a piece has to be worth it.
MOST_PIECES: Final = 8_192
FEWEST_TIMES: Final = 3
CHARACTERS_A_PIECE: Final = 60
# Characters that a tokenizer of characters knows; the rest is written in bytes.
MOST_CHARACTERS: Final = 2_000
MOST_SEEN: Final = 20_000_000
# (blocks, width, heads, context): what two cores train in minutes, by nanoGPT's recipe for CPUs, and one larger.
SMALL: Final = (4, 128, 4, 128)
MIDDLE: Final = (6, 256, 4, 256)


def new_start(documents: Iterable[Document], *, characters: bool, size: str = "small") -> Start:
    """A start with a tokenizer that was made of these documents, and no numbers yet.

    Raises HandrailError ("data") where there is no text.
    """
    texts = [*_texts(documents)]
    seen = sum(map(len, texts))
    if not seen:
        raise HandrailError("data", "there is no text in it", "give a file with words in it")
    tokenizer = _of_characters(texts) if characters else _of_pieces(texts, seen)
    content = tokenizer.to_str().encode()
    end = tokenizer.token_to_id(END)
    config = _config(tokenizer.get_vocab_size(), end, MIDDLE if size == "middle" else SMALL)
    special = {"begin": end, "adds_begin": False, "ends": [end], "names": {"eos_token": END}}
    return Start(
        reference="", name="nothing", config=config, names=(), get=_none, tokenizer_json=content,
        chat_template=PLAIN_TEMPLATE, special=special, about={}, licence="",
    )  # fmt: skip


def _texts(documents: Iterable[Document]) -> Iterator[str]:
    left = MOST_SEEN
    for document in documents:
        for text in (document.text, *(message["content"] for message in document.messages)):
            yield text[:left]
            left -= len(text)
            if left <= 0:
                return


def _of_pieces(texts: list[str], seen: int) -> Any:
    """Pairs of bytes joined as often as it pays (BPE on bytes: any text can be written)."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(300, min(MOST_PIECES, 257 + seen // CHARACTERS_A_PIECE)), min_frequency=FEWEST_TIMES,
        special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    parts = (text[start : start + 2**16] for text in texts for start in range(0, len(text), 2**16))
    tokenizer.train_from_iterator(parts, trainer)
    return tokenizer


def _of_characters(texts: list[str]) -> Any:
    """Each character is a token; those that are rare or new are written as their bytes."""
    counts: dict[str, int] = {}
    for text in texts:
        for character in set(text):
            counts[character] = counts.get(character, 0) + text.count(character)
    known = sorted(sorted(counts, key=lambda one: (-counts[one], one))[:MOST_CHARACTERS])
    names = [END, *(f"<0x{byte:02X}>" for byte in range(256)), *known]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([END])
    return tokenizer


def _config(vocabulary: int, end: int, size: tuple[int, int, int, int]) -> dict[str, Any]:
    """A network of GPT-2's family."""
    blocks, width, heads, context = size
    return {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": vocabulary, "n_embd": width,
        "n_layer": blocks, "n_head": heads, "n_positions": context, "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True, "bos_token_id": end, "eos_token_id": end,
    }  # fmt: skip


def _none(name: str) -> np.ndarray:
    raise KeyError(name)


def is_of_characters(tokenizer_json: bytes) -> bool:
    """Whether a tokenizer joins nothing."""
    return not json.loads(tokenizer_json)["model"].get("merges")
