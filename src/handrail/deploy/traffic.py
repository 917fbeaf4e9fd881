"""Which version answers a request, and which ones get a copy of it: by header, else by weight.

Weights are met without chance: a number that goes on by the golden ratio falls into each range as often as the range
is wide. Of any run of requests each version gets its part, give or take a few; and because no period is in it,
clients that send their requests in turns are shared out as evenly as others, which taking each tenth would not do.

Source: H. Weyl, Über die Gleichverteilung von Zahlen mod. Eins (1916); D. Knuth, The Art of Computer Programming,
volume 3, section 6.4, on multiples of the golden ratio.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from handrail.deploy.spec import Share

# Parts of 1 that go on without a period, and not in step with each other: copies are not always those of the canary.
ANSWERS_BY: Final = (5**0.5 - 1) / 2
COPIES_BY: Final = 2**0.5 - 1

Headers = Mapping[bytes, bytes]


class Split:
    """Shares out the requests of one API.

    `all_named`: the weights are parts of all that is named (a TrafficSplitter's); otherwise what is left of 100 is for
    the current version. Where shares change, another one is made.
    """

    def __init__(self, shares: Sequence[Share], *, all_named: bool = False) -> None:
        answering = [share for share in shares if not share.shadow and share.weight > 0]
        whole = sum(share.weight for share in answering) if all_named else 100.0
        self._names = (
            *(share.name for share in answering),
            None if not (all_named and answering) else answering[-1].name,
        )
        self._ends = [end / whole for end in accumulate(share.weight for share in answering)]
        self._headers = [_header(share.header, share.name) for share in shares if share.header and not share.shadow]
        self._shadows = [(share.name, share.weight / 100) for share in shares if share.shadow and share.weight > 0]
        self._answered = 0.5
        self._copied = 0.5

    def chosen(self, headers: Headers) -> str | None:
        """The name of the share that answers this request; None: the current version. Names in `headers` are small."""
        for header, value, name in self._headers:
            found = headers.get(header)
            if found is not None and (value is None or value == found.strip()):
                return name
        number = self._answered = (self._answered + ANSWERS_BY) % 1.0
        return self._names[bisect_right(self._ends, number)]

    def copied(self) -> Sequence[str]:
        """The names of the shadows that get a copy of this request."""
        if not self._shadows:
            return ()
        number = self._copied = (self._copied + COPIES_BY) % 1.0
        return [name for name, part in self._shadows if number < part]


def _header(header: str, share: str) -> tuple[bytes, bytes | None, str]:
    """(name, value or None, share) of `name` or `name: value`."""
    name, colon, value = header.partition(":")
    return name.strip().lower().encode(), value.strip().encode() if colon else None, share
