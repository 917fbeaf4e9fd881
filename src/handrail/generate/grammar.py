"""JSON that obeys a schema, token by token; the grammar is llguidance's work, within bounds of time and size."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError, clipped
from handrail.encode.tokens import Tokenizer
from handrail.generate.settings import ANY_JSON

# At most one blank between the parts of a JSON text: enough for how models write it, and none can go on for ever.
BLANKS: Final[Any] = {"whitespace_pattern": " ?"}
# About 20 ms for each token, and a tenth of a second at most for what is built at the beginning: everybody else's texts
# wait meanwhile. A thousand properties fit, two thousand do not.
LIMITS: Final[dict[str, Any]] = {"initial_lexer_fuel": 500_000, "step_lexer_fuel": 200_000, "max_grammar_size": 12_000}


class Grammars:
    """Makes grammars for one tokenizer; what they have in common is made once, when first needed."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._library_tokenizer: Any = None

    def grammar(self, schema: dict[str, Any] | str) -> Grammar:
        """A grammar before its first token.

        Raises HandrailError where the schema is none, can never be met, or would take too long.
        """
        from llguidance import LLMatcher, LLParserLimits

        wanted = {"type": "object"} if schema == ANY_JSON else schema
        try:
            text = LLMatcher.grammar_from_json_schema(wanted, overrides=BLANKS)
            matcher = LLMatcher(self._known_tokens(), text, log_level=0, limits=LLParserLimits(**LIMITS))
            grammar = Grammar(matcher, self._known_tokens().vocab_size)
            grammar.allowed()
        except (ValueError, RuntimeError) as error:
            raise _refused(str(error)) from error
        return grammar

    def _known_tokens(self) -> Any:
        if self._library_tokenizer is None:
            from llguidance import LLTokenizer

            ends = sorted(self._tokenizer.ends) or [self._tokenizer.size]
            words = _Words(self._tokenizer, ends[0])
            self._library_tokenizer = LLTokenizer(words, eos_token=ends)  # type: ignore[arg-type]
        return self._library_tokenizer


class Grammar:
    """What may come next in one continuation."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher = matcher
        self._bits = np.zeros((size + 31) // 32, np.int32)

    def copy(self) -> Grammar:
        return Grammar(self._matcher.deep_copy(), len(self._bits) * 32)

    @property
    def is_done(self) -> bool:
        """Whether the text is whole and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> np.ndarray:
        """Which tokens may follow, as bits: token t is bit t % 8 of byte t // 8.

        Raises RuntimeError where that took too long or leads nowhere.
        """
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        if self._matcher.is_error():
            raise RuntimeError(self._matcher.get_error())
        return self._bits.view(np.uint8)

    def restrict(self, logits: np.ndarray) -> None:
        """Sets the logits (vocabulary,) of what may not follow to -inf."""
        try:
            allowed = np.unpackbits(self.allowed(), count=len(logits), bitorder="little")
        except RuntimeError as error:
            raise _refused(str(error)) from error
        logits[allowed == 0] = -np.inf

    def take(self, token: int) -> None:
        """This token was written."""
        if not self._matcher.consume_token(token):
            raise _refused(self._matcher.get_error())


class _Words:
    """A tokenizer as llguidance wants it: the bytes of each token."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        self.eos_token_id = end
        self.tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.size)]
        self.tokens += [b""] * (end + 1 - tokenizer.size)
        self.special_token_ids = [token for token, content in enumerate(self.tokens) if not content]
        self._encode = tokenizer.encode

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)


def _refused(message: str) -> HandrailError:
    first = clipped(next(iter(message.strip().splitlines()), "it leads nowhere"), 200)
    mend = (
        "mend or simplify the schema; what is supported is JSON Schema without 'not', 'uniqueItems' and remote '$ref'"
    )
    return HandrailError("data", f"no JSON can be written by this schema: {first}", mend, field="json_schema")
