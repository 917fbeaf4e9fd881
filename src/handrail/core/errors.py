"""The one error a user can cause, with what is wrong and what to type.

    HandrailError
      code          stable word, the same in the terminal, in JSON and on the page
      problem       one sentence: what was expected, what was received
      mend          something to type or to change
      where         file, line, row (None where it has no place)
      field         the column or option meant (None where there is none)

| code         | meaning                                        | exit | HTTP |
|--------------|------------------------------------------------|------|------|
| usage        | the command or call is off                     | 2    | 400  |
| data         | the rows or the file are off                   | 3    | 422  |
| too_large    | more than a limit allows                       | 3    | 413  |
| media_type   | a body of a kind that is not read              | 3    | 415  |
| bundle       | a bundle is damaged, foreign or of another age | 4    | 500  |
| not_found    | no such model, version, alias or route         | 4    | 404  |
| method       | the route has no such method                   | 2    | 405  |
| environment  | disk, port, memory, permission, missing extra  | 5    | 503  |
| overloaded   | too much is waiting already                    | 5    | 503  |
| timeout      | it took longer than was allowed                | 5    | 504  |
| conflict     | somebody else holds it, or the name is taken   | 6    | 409  |
| forbidden    | a host, origin or page that is not let in      | 5    | 403  |
| unauthorized | no key, or one that is not known               | 5    | 401  |
| rate_limited | a key asked more often than it may             | 5    | 429  |
| interrupted  | Ctrl-C                                         | 130  | 503  |
| bug          | ours                                           | 70   | 500  |
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

EXIT_AND_HTTP_STATUS: Final[dict[str, tuple[int, int]]] = {
    "usage": (2, 400),
    "data": (3, 422),
    "too_large": (3, 413),
    "media_type": (3, 415),
    "bundle": (4, 500),
    "not_found": (4, 404),
    "method": (2, 405),
    "environment": (5, 503),
    "overloaded": (5, 503),
    "timeout": (5, 504),
    "conflict": (6, 409),
    "forbidden": (5, 403),
    "unauthorized": (5, 401),
    "rate_limited": (5, 429),
    "interrupted": (130, 503),
    "bug": (70, 500),
}


class HandrailError(Exception):
    """Anything a user can cause, said so that they can mend it."""

    def __init__(
        self,
        code: str,
        problem: str,
        mend: str,
        *,
        where: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(problem)
        if code not in EXIT_AND_HTTP_STATUS:
            raise KeyError(code)
        self.code = code
        self.problem = printable(problem)
        self.mend = printable(mend)
        self.where = None if where is None else printable(where)
        self.field = None if field is None else printable(field)

    @property
    def exit_status(self) -> int:
        return EXIT_AND_HTTP_STATUS[self.code][0]

    @property
    def http_status(self) -> int:
        return EXIT_AND_HTTP_STATUS[self.code][1]

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.problem}{place}\nhint: {self.mend}"

    def as_dict(self, request_id: str | None = None) -> dict[str, object]:
        """The shape every face shows: `{"error": {...}}`, the same keys in HTTP and in `--json`."""
        error: dict[str, object] = {"code": self.code, "message": self.problem, "hint": self.mend}
        if self.where:
            error["where"] = self.where
        if self.field:
            error["field"] = self.field
        if request_id:
            error["request_id"] = request_id
        return {"error": error}


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near; case does not matter."""
    by_folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word[:200].casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'price'?` with its leading blank, or nothing."""
    near = closest(word, known)
    return f" Did you mean '{near}'?" if near else ""


def counted(count: int, what: str, more: str | None = None) -> str:
    """`1 row`, `2 rows`; `more` where the plural is another word."""
    return f"1 {what}" if count == 1 else f"{count:,} {more or what + 's'}"


def listed(words: Iterable[str], limit: int = 8) -> str:
    """`a, b, c and 12 more`: for naming what there is without filling the screen."""
    all_words = [clipped(word, 60) for word in words]
    rest = len(all_words) - limit
    return ", ".join(all_words[:limit]) + (f" and {rest:,} more" if rest > 0 else "")


def clipped(text: str, limit: int = 80) -> str:
    """`text` cut to `limit` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """`text` with control and direction-changing characters escaped, so that a terminal or a log stays whole."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode("ascii") for char in text
    )
