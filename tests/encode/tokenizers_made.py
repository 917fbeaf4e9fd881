"""Small tokenizers, made in the test that needs one."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = [
    "The ship was ready, and the sea was calm.",
    "Who goes there? Stand and unfold yourself!",
    "Grüße, 123 日本語 🎉",
]
MARKS = ["<|end|>", "<|im_start|>", "<|im_end|>"]


@cache
def byte_level(size: int = 320) -> bytes:
    """A byte-level BPE as GPT-2 and SmolLM2 have one; its marks are the first tokens."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=MARKS, initial_alphabet=sorted(alphabet), show_progress=False
    )
    library.train_from_iterator(TEXT, trainer)
    return library.to_str().encode()


@cache
def sentence_piece() -> bytes:
    """A BPE as Llama 2 and Gemma have one: ▁ for blanks, bytes for what is unknown."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"theospa", "th", "the", "▁the"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the")]
    model = models.BPE(
        {piece: place for place, piece in enumerate(pieces)},
        merges,
        unk_token="<unk>",
        byte_fallback=True,
        fuse_unk=True,
    )
    library = Tokenizer(model)
    library.normalizer = normalizers.Replace(" ", "▁")
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    return library.to_str().encode()
