"""Is a canary worse than the current version? From counts alone, and right at every look, however often one looks.

For each question there is a number that grows with the evidence: how likely the counts are where each version has a
share of its own, over how likely they can be at most where the canary is not worse. Where it is not worse, the chance
that the number ever reaches 1 / p is at most p, over all looks together; so it may be asked each second, and no look
has to be remembered. Versions have to be compared over the same time: what happens to both is then no difference.

* Errors: the share of answers with a 5xx status.
* Latency: the share of answers above a time, for the canary above that time and a margin; the mean over many times.
  Slow answers come together (a stall hits all that wait), so that so many of them count as one.

Source: L. Wasserman, A. Ramdas, S. Balakrishnan, Universal inference, PNAS 117 (2020): the number, over a null that is
a range; H. Robbins, Statistical methods related to the law of the iterated logarithm (1970): the mean over all shares;
J. Ville, Étude critique de la notion de collectif (1939): the bound over all looks. Powers below 1 and means of such
numbers keep it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal


@dataclass(frozen=True)
class Counts:
    """What a version has answered. `errors`: with a 5xx status. `latencies[i]`: how many took up to `bounds[i]` seconds
    and more than the bound before; the last of them, more than all bounds."""

    requests: int = 0
    errors: int = 0
    latencies: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()

    def since(self, earlier: Counts) -> Counts:
        """What came after `earlier`, an older count of the same version."""
        older = earlier.latencies or (0,) * len(self.latencies)
        latencies = tuple(now - then for now, then in zip(self.latencies, older, strict=True))
        return Counts(self.requests - earlier.requests, self.errors - earlier.errors, latencies, self.bounds)

    def quantile(self, share: float) -> float | None:
        """The latency in seconds that so many answers did not exceed, to a bucket; None where there are none."""
        wanted = share * sum(self.latencies)
        if not wanted:
            return None
        place = bisect_left(list(accumulate(self.latencies)), wanted)
        return self.bounds[min(place, len(self.bounds) - 1)]


@dataclass(frozen=True)
class Margins:
    """By how much a canary may be worse, and how sure one has to be.

    `chance`: how often at most a canary that is as good is called worse, over all looks; for errors and for latency
    each. `enough`: answers of each version before the canary is called good, or slow.
    """

    errors_share: float = 0.002
    errors_factor: float = 1.25
    latency_s: float = 0.005
    latency_factor: float = 1.25
    chance: float = 0.005
    enough: int = 50


@dataclass(frozen=True)
class Verdict:
    """`why` in words, with the numbers."""

    found: Literal["ok", "worse", "not_yet"]
    why: str


# (how many were so, how many there were).
Seen = tuple[int, int]
# The share that is allowed to the canary for a share of the stable version: so many times it, and so much more.
Allowed = tuple[float, float]

# What a share may be before anything was seen, as the two numbers of a beta distribution: of a version that is in use
# few answers fail; of a new one it is open. Where that is wrong, the judgement takes longer, but is no less right.
STABLE: Final = (0.1, 1.0)
CANARY: Final = (0.5, 1.0)
# A canary that fails more than half of its requests needs no comparison, only a stable version that does not.
HALF: Final[Allowed] = (0.0, 0.5)
NO_MORE: Final[Allowed] = (1.0, 0.0)
# So many slow answers count as one, and so many where most of them are slow.
TOGETHER: Final = 10
MOST_TOGETHER: Final = 2
# Times that are looked at are so many times the one before, or more where buckets are wider.
APART: Final = 1.25
P50, P99 = 0.5, 0.99


def judge(stable: Counts, canary: Counts, margins: Margins | None = None) -> Verdict:
    """Whether the canary is worse than `stable`, the current version, over the same time."""
    margins = margins or Margins()
    if _fails(stable, canary, margins):
        return Verdict("worse", _errors(stable, canary))
    seen = min(stable.requests, canary.requests)
    if seen >= margins.enough and _is_slower(stable, canary, margins):
        return Verdict("worse", _latency(stable, canary))
    why = "; ".join(filter(None, (_errors(stable, canary), _latency(stable, canary))))
    if seen < margins.enough:
        return Verdict("not_yet", f"{why}; judged from {margins.enough} answers of each")
    return Verdict("ok", why)


def _fails(stable: Counts, canary: Counts, margins: Margins) -> bool:
    needed = -math.log(margins.chance)
    failed, failed_before = (canary.errors, canary.requests), (stable.errors, stable.requests)
    if _evidence(failed, failed_before, (margins.errors_factor, margins.errors_share)) >= needed:
        return True
    return 2 * stable.errors <= stable.requests and _evidence(failed, (0, 0), HALF) >= needed


def _is_slower(stable: Counts, canary: Counts, margins: Margins) -> bool:
    """Its latencies are seen to be longer by more than the margins, and that is hardly chance."""
    if not any(_exceeds(stable.quantile(share), canary.quantile(share), margins) for share in (P50, P99)):
        return False
    times = _apart(stable.bounds)
    found = [_evidence_of_slowness(_above(canary, _limit(time_s, margins)), _above(stable, time_s)) for time_s in times]
    return _mean([one for pair in found for one in pair]) >= -math.log(margins.chance)


def _apart(bounds: Sequence[float]) -> list[float]:
    found: list[float] = []
    for bound in bounds:
        if not found or bound >= APART * found[-1]:
            found.append(bound)
    return found


def _evidence_of_slowness(canary: Seen, stable: Seen) -> tuple[float, float]:
    """That more answers of the canary are slow; and that so many are that it is most of them, which no stall does."""
    return (
        _evidence(canary, stable, NO_MORE) / TOGETHER,
        min(_evidence(canary, stable, NO_MORE), _evidence(canary, stable, HALF)) / MOST_TOGETHER,
    )


def _exceeds(before: float | None, now: float | None, margins: Margins) -> bool:
    return before is not None and now is not None and now > _limit(before, margins)


def _limit(time_s: float, margins: Margins) -> float:
    return time_s * margins.latency_factor + margins.latency_s


def _above(counts: Counts, time_s: float) -> Seen:
    """How many answers took longer for certain: those in buckets that begin at `time_s` or later."""
    return sum(counts.latencies[bisect_left(counts.bounds, time_s) + 1 :]), sum(counts.latencies)


def _evidence(canary: Seen, stable: Seen, allowed: Allowed) -> float:
    """The logarithm of the evidence that the canary's share is above what is allowed; below 0 there is none."""
    apart = _log_mean(*canary, *CANARY) + _log_mean(*stable, *STABLE)
    return apart - _log_most(canary, stable, allowed)


def _log_mean(found: int, of: int, a: float, b: float) -> float:
    """The logarithm of the likelihood, in the mean over all shares, weighted by a beta distribution."""
    return _log_beta(found + a, of - found + b) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_most(canary: Seen, stable: Seen, allowed: Allowed) -> float:
    """The logarithm of the largest likelihood where the canary's share is at most what is allowed."""
    factor, more = allowed
    share, stable_share = _share(canary), _share(stable)

    def at_limit(one: float) -> float:
        return _log_likelihood(canary, min(1.0, one * factor + more)) + _log_likelihood(stable, one)

    if share <= stable_share * factor + more:
        return _log_likelihood(canary, share) + _log_likelihood(stable, stable_share)
    if not factor:
        return at_limit(stable_share)
    # Both shares give way until they meet at the limit; the likelihood there has one peak.
    low, high = stable_share, min(1.0, (share - more) / factor)
    for _ in range(40):
        third = (high - low) / 3
        low, high = (low + third, high) if at_limit(low + third) < at_limit(high - third) else (low, high - third)
    return at_limit((low + high) / 2)


def _share(seen: Seen) -> float:
    # Where nothing was seen, nothing speaks against the smallest share, nor against any other.
    return seen[0] / seen[1] if seen[1] else 0.0


def _log_likelihood(seen: Seen, share: float) -> float:
    found, other = seen[0], seen[1] - seen[0]
    if (found and share <= 0) or (other and share >= 1):
        return -math.inf
    return (found * math.log(share) if found else 0.0) + (other * math.log1p(-share) if other else 0.0)


def _mean(logarithms: Sequence[float]) -> float:
    """The logarithm of the mean."""
    most = max(logarithms)
    return most + math.log(sum(math.exp(one - most) for one in logarithms) / len(logarithms))


def _errors(stable: Counts, canary: Counts) -> str:
    return f"failed {_of(canary)}, the current version {_of(stable)}"


def _of(counts: Counts) -> str:
    share = f" ({100 * counts.errors / counts.requests:.3g} %)" if counts.errors else ""
    return f"{counts.errors:,} of {counts.requests:,}{share}"


def _latency(stable: Counts, canary: Counts) -> str:
    """Nothing where either has not answered yet."""
    before, now = ([_in_words(counts.quantile(share)) for share in (P50, P99)] for counts in (stable, canary))
    if not (all(before) and all(now)):
        return ""
    return f"p50 {now[0]} and p99 {now[1]}, the current version {before[0]} and {before[1]}"


def _in_words(time_s: float | None) -> str:
    if time_s is None:
        return ""
    return f"{time_s:.3g} s" if time_s >= 1 else f"{1000 * time_s:.3g} ms"
