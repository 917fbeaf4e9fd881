"""Many continuations at once on one decoder: they join and leave between steps, and none stalls the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from handrail.encode.tokens import Tokenizer
from handrail.generate.pieces import Answered, Piece
from handrail.generate.settings import Settings
from handrail.runtimes.decoder.session import Decoder


class Generator:
    """Continues prompts on a decoder; one thread at a time may call it.

    `budget_bytes` is how much memory keys and values may take.
    """

    def __init__(
        self, decoder: Decoder, tokenizer: Tokenizer, *, budget_bytes: int | None = None, prefill_tokens: int = 128
    ) -> None: ...

    def submit(
        self,
        prompt: Sequence[int],
        settings: Settings,
        *,
        client: str = "",
        resume: Sequence[int] = (),
        first_index: int = 0,
        timeout_s: float | None = None,
    ) -> int:
        """The id under which pieces come. Clients that wait take turns.

        `resume` are tokens that this continuation has written before, elsewhere: it goes on after them as if it had
        never stopped (give the same `seed`, `n` 1, and its index as `first_index`), and their text is not told again.
        Raises HandrailError when the request can never run.
        """
        raise NotImplementedError

    def cancel(self, request: int) -> None:
        """Ends all continuations of a request at the next step; unknown and ended ids are ignored."""

    def step(self) -> list[Piece]:
        """One turn: some prompts are read, each running continuation gets one token."""
        raise NotImplementedError

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        raise NotImplementedError

    def state(self) -> dict[str, float]:
        """running, waiting, prefilling, kv_bytes_used, kv_bytes_budget, tokens_per_s, generated_tokens,
        prefilled_tokens, cached_tokens."""
        raise NotImplementedError

    def stream(self, prompt: Sequence[int], settings: Settings) -> Iterator[Piece]:
        """The pieces of one request; leaving the loop cancels it."""
        raise NotImplementedError

    def answer(self, prompts: Sequence[Sequence[int]], settings: Settings) -> list[list[Answered]]:
        """For each prompt, its `n` whole continuations, in order."""
        raise NotImplementedError
