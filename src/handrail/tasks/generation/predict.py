"""Writes on from prompts and messages: an opened decoder, its tokenizer, its chat template, and who waits for what."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, Final

from handrail.catalog.safetensors import read_safetensors
from handrail.core.allocator import give_back
from handrail.core.bundle import Bundle, damaged
from handrail.core.errors import HandrailError
from handrail.core.mapping import Mapped
from handrail.encode.chat import Chat
from handrail.encode.tokens import Tokenizer, tokenizer_from
from handrail.encode.tool_calls import tool_calls
from handrail.generate.generator import Generator
from handrail.generate.pieces import Answered, Piece
from handrail.generate.settings import Settings, settings_from
from handrail.runtimes.decoder import Decoder, File, open_decoder, shape_from
from handrail.tasks import Answer
from handrail.tasks.generation.export import TEMPLATE, TOKENIZER, WEIGHTS

# Texts continued at once, and one more in which a prompt is read.
SLOTS: Final = 32 + 1
Messages = Sequence[Mapping[str, Any]]


class Writer:
    """The half that answers. Threads may share it: whoever waits moves all continuations on, so they run together."""

    def __init__(
        self, decoder: Decoder, tokenizer: Tokenizer, chat: Chat, *, defaults: Settings, adds_begin: bool = False,
        budget_bytes: int | None = None,
    ) -> None:  # fmt: skip
        self.decoder, self.tokenizer, self.chat, self.defaults = decoder, tokenizer, chat, defaults
        self._adds_begin = adds_begin
        # It fills the decoder's slots: who measures on the decoder must not ask it for anything.
        self.generator = Generator(decoder, tokenizer, budget_bytes=budget_bytes)

    @property
    def window(self) -> int:
        """How many tokens a continuation looks back on."""
        return self.decoder.window

    def prompt_tokens(self, text: str) -> list[int]:
        """The tokens of a plain prompt. One that is empty is the beginning of a text."""
        tokens = self.tokenizer.encode(text)
        begin = self.tokenizer.begin
        if begin is not None and (self._adds_begin or not tokens):
            return [begin, *tokens]
        if not tokens and not self.tokenizer.ends:
            raise HandrailError("data", "an empty prompt", "give a beginning, a word at least", field="prompt")
        # For the models without a mark for the beginning, texts begin after the end of another one.
        return tokens or [min(self.tokenizer.ends)]

    def chat_tokens(self, messages: Messages, tools: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """The tokens of a talk, up to where the answer begins."""
        tokens = self.chat.tokens(self.tokenizer, messages, tools)
        begin = self.tokenizer.begin
        return [begin, *tokens] if self.chat.is_plain and self._adds_begin and begin is not None else tokens

    def settings(self, given: Mapping[str, Any], *, chats: bool = False) -> Settings:
        """The settings of a request; a plain chat ends where the next speaker begins.

        Raises HandrailError that names every setting that is off.
        """
        found = settings_from(given, self.defaults)
        return replace(found, stop=(*found.stop, *self.chat.stop)) if chats and self.chat.is_plain else found

    def continued(self, prompts: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
        """For each prompt its continuation, a list of them where `n` is more than 1."""
        settings = self.settings(given)
        found = self.generator.answer([self.prompt_tokens(prompt) for prompt in prompts], settings)
        return [_one_or_all([self.answer_of(one) for one in row]) for row in found]

    def streamed(self, x: str | Messages, given: Mapping[str, Any]) -> Iterator[Piece]:
        """The pieces of the answer to a prompt or to messages."""
        settings = self.settings(given, chats=not isinstance(x, str))
        return self.generator.stream(self.prompt_tokens(x) if isinstance(x, str) else self.chat_tokens(x), settings)

    def next_message(
        self, messages: Messages, tools: Sequence[Mapping[str, Any]] | None, given: Mapping[str, Any]
    ) -> Any:
        """The message that follows, a list of them where `n` is more than 1."""
        settings = self.settings(given, chats=True)
        (found,) = self.generator.answer([self.chat_tokens(messages, tools)], settings)
        return _one_or_all([message_of(one, calls=bool(tools)) for one in found])

    def answer_of(self, found: Answered) -> Answer:
        """A continuation as it is answered; with `logprobs`, each token's and the likeliest others'."""
        answer: Answer = {"text": found.text, "finish": found.finish, "usage": usage_of(found)}
        if found.logprobs is not None:
            name = self.tokenizer.token_name
            answer["logprobs"] = [
                {"token": name(one.token), "logprob": one.logprob,
                 "top": [{"token": name(token), "logprob": logprob} for token, logprob in one.top]}
                for one in found.logprobs
            ]  # fmt: skip
        return answer


def message_of(found: Answered, *, calls: bool) -> Answer:
    """A continuation as the message that it is, with the tools it `calls` where there are any."""
    said, called = tool_calls(found.text) if calls else (found.text, [])
    message: dict[str, Any] = {"role": "assistant", "content": said.strip()}
    if called:
        message["tool_calls"] = [{"type": "function", "function": call} for call in called]
    return {"message": message, "finish": found.finish, "usage": usage_of(found)}


def usage_of(found: Answered | Piece) -> dict[str, float]:
    """What a continuation took, as JSON."""
    return {} if found.usage is None else asdict(found.usage)


def load(
    bundle: Bundle, *, threads: int = 1, slots: int = SLOTS, budget_bytes: int | None = None, window: int | None = None
) -> Writer:
    """Opens a bundle's decoder; the weights are hashed meanwhile. Raises HandrailError where anything is off."""
    mapped = bundle.map(WEIGHTS)
    settings = _encode_of(bundle)
    # The slow import goes on while the weights are hashed.
    importlib.import_module("onnxruntime")
    try:
        shape, special = shape_from(settings["shape"]), settings["special"]
        longest = min(window or settings["window"], settings["window"], shape.context)
        with ThreadPoolExecutor(1, "decoder") as opening:
            decoder = opening.submit(_decoder, mapped, shape, threads=threads, slots=slots, window=longest)
            tokenizer = tokenizer_from(bundle.read(TOKENIZER), special)
            _check(tokenizer, shape.vocabulary, special)
            template = bundle.read(TEMPLATE).decode("utf-8") if TEMPLATE in bundle.manifest.files else None
            chat = Chat(template, special["names"])
            defaults = settings_from(settings["defaults"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {str(error)[:200]}") from error
    mapped.check()
    give_back()  # Reading a tokenizer and packing weights left 30 MB free with 50,000 tokens.
    return Writer(
        decoder.result(),
        tokenizer,
        chat,
        defaults=defaults,
        adds_begin=bool(special["adds_begin"]),
        budget_bytes=budget_bytes,
    )


def _decoder(mapped: Mapped, shape: Any, *, threads: int, slots: int, window: int) -> Decoder:
    tensors = read_safetensors(mapped.content, WEIGHTS)
    mapped.rest()  # All scales were looked at; onnxruntime maps them by itself.
    file = File(mapped.path, mapped.content)
    return open_decoder(shape, tensors, threads=threads, slots=slots, window=window, file=file)


def _encode_of(bundle: Bundle) -> dict[str, Any]:
    signature, settings = bundle.manifest.signature, bundle.manifest.encode
    if [field.kind for field in signature.inputs] != ["text"] or signature.output.kind != "text":
        raise damaged(bundle.path, "it does not turn a text into a text")
    for name, kind in {"shape": dict, "special": dict, "defaults": dict, "window": int}.items():
        if type(settings.get(name)) is not kind:
            raise damaged(bundle.path, f"the encode settings are off: {name}")
    if settings["window"] < 2:
        raise damaged(bundle.path, "the encode settings are off: a window of no tokens")
    return settings


def _check(tokenizer: Tokenizer, vocabulary: int, special: Mapping[str, Any]) -> None:
    """Raises ValueError where the tokenizer knows tokens that the decoder does not."""
    marks = [*tokenizer.ends, *([] if tokenizer.begin is None else [tokenizer.begin])]
    if tokenizer.size > vocabulary or not all(mark < vocabulary for mark in marks):
        raise ValueError("the tokenizer knows tokens that the decoder does not")
    names = special["names"]
    if type(names) is not dict or not all(isinstance(text, str) for text in names.values()):
        raise ValueError("special names that are none")


def _one_or_all(found: list[Answer]) -> Any:
    return found[0] if len(found) == 1 else found
