"""OpenAI's completions: a prompt, or several, go on as text.

Source: the API reference of OpenAI, "Completions".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.field import described
from handrail.serve.api import Version
from handrail.serve.formats.openai_asked import (
    PASSED_OVER,
    SAME,
    Envelope,
    Numbers,
    includes_usage,
    likeliest,
    refuse_unsupported,
    same_settings,
)
from handrail.serve.formats.writing import Json, Wish, asked_of, event, refuse_unknown, settings_of, true_or_false
from handrail.serve.talks import Said

NAMES: Final = (
    "model", "prompt", "echo", "logprobs", "stream", "stream_options", "best_of", "suffix", "logit_bias",
    *SAME, *PASSED_OVER,
)  # fmt: skip
MAX_TOKENS: Final = 16
MOST_LOGPROBS: Final = 5
MOST_PROMPTS: Final = 128
UNSUPPORTED: Final[dict[str, tuple[Any, str]]] = {
    "suffix": ((None, ""), "put all that the model should read into the prompt"),
    "best_of": ((None, 1), "ask for n texts, with logprobs, and choose one"),
    "logit_bias": ((None, {}), "use stop, a penalty or a JSON schema"),
}


def wish_of(given: Json, version: Version) -> Wish:
    """What a request asks. Raises HandrailError that says what is off."""
    refuse_unknown(given, NAMES)
    refuse_unsupported(given, UNSUPPORTED)
    prompts = _prompts(given.get("prompt"))
    wanted = likeliest(given.get("logprobs"), "logprobs", MOST_LOGPROBS)
    settings = settings_of({**same_settings(given), "logprobs": wanted}, version.model, max_tokens=MAX_TOKENS)
    echoes = [prompt.get("text") for prompt in prompts] if _echoes(given, prompts, wanted) else None
    writer = Completions(version, settings.n, echoes, usage=includes_usage(given))
    return Wish(asked_of(prompts, settings, version.model), true_or_false(given, "stream"), writer)


class Completions:
    """Texts as choices; a choice for each text of each prompt."""

    def __init__(self, version: Version, count: int, echoes: Sequence[str | None] | None, *, usage: bool) -> None:
        self._numbers = Numbers(count)
        self._envelope = Envelope("cmpl", "text_completion", version, self._numbers, usage=usage)
        self._count = count
        self._echoes = echoes
        self._begun: set[int] = set()
        # How many letters the tokens have that were told: more than the text where a stop string keeps some back.
        self._offsets: dict[int, int] = {}

    def whole(self, found: Sequence[Sequence[Said]]) -> bytes:
        choices = []
        for said in found:
            choice = self._choice(said[0].place, "".join(one.text for one in said), said)
            choices.append(choice | {"finish_reason": said[-1].finish})
            self._numbers.add(said[-1])
        return self._envelope.whole(choices)

    def events(self, some: Sequence[Said]) -> bytes:
        return b"".join(map(self._event, some))

    def last(self) -> bytes:
        return self._envelope.last()

    def failed(self, error: Json) -> bytes:
        return event(error)

    def _event(self, said: Said) -> bytes:
        if said.finish is not None:
            self._numbers.add(said)
        elif not said.text and said.logprobs is None:
            return b""
        return self._envelope.event(self._choice(said.place, said.text, [said]) | {"finish_reason": said.finish})

    def _choice(self, place: int, text: str, said: Sequence[Said]) -> Json:
        if place not in self._begun and self._echoes is not None:
            text = f"{self._echoes[place // self._count]}{text}"
        self._begun.add(place)
        return {"index": place, "text": text, "logprobs": self._logprobs(place, said)}

    def _logprobs(self, place: int, said: Sequence[Said]) -> Json | None:
        if not any(one.logprobs is not None for one in said):
            return None
        found = [told for one in said for told in one.logprobs or ()]
        offsets = list(accumulate((len(token) for token, *_ in found), initial=self._offsets.get(place, 0)))
        self._offsets[place] = offsets.pop()
        return {
            "tokens": [token for token, *_ in found],
            "token_logprobs": [logprob for _, _, logprob, _ in found],
            # Parts of characters are shown alike: the likeliest of them is told.
            "top_logprobs": [{one[0]: one[2] for one in reversed(top)} for *_, top in found],
            "text_offset": offsets,
        }


def _prompts(given: object) -> list[Json]:
    """One text, several, one list of tokens, or several."""
    if isinstance(given, str):
        return [{"text": given}]
    if isinstance(given, list) and given and len(given) <= MOST_PROMPTS and all(isinstance(one, str) for one in given):
        return [{"text": text} for text in given]
    if _is_tokens(given):
        return [{"tokens": given}]
    if isinstance(given, list) and given and len(given) <= MOST_PROMPTS and all(map(_is_tokens, given)):
        return [{"tokens": tokens} for tokens in given]
    problem = f"'prompt': expected a text, tokens, or a list of up to {MOST_PROMPTS}, received {described(given)}"
    raise HandrailError("data", problem, 'send {"model": …, "prompt": "Once upon a time"}', field="prompt")


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _echoes(given: Json, prompts: Sequence[Json], logprobs: int | None) -> bool:
    if not true_or_false(given, "echo"):
        return False
    if logprobs is not None or "tokens" in prompts[0]:
        what = "logprobs of the prompt are" if logprobs is not None else "a prompt of tokens is"
        raise HandrailError("data", f"'echo': {what} not told", "leave echo out", field="echo")
    return True
