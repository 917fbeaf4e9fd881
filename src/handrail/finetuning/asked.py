"""What was asked for, checked: every number in its range, nothing that excludes another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.values import to_seconds
from handrail.finetuning.plan import METHODS
from handrail.finetuning.plan_values import Order
from handrail.store import check_name
from handrail.training.asked import name_for

LONGEST_S: Final = 30 * 24 * 3600.0
BITS: Final = (8, 4, 32)


@dataclass(frozen=True)
class Request:
    """One fine-tuning as it was asked for."""

    sources: tuple[object, ...]
    base: str
    name: str
    order: Order
    from_scratch: bool = False
    characters: bool = False
    resume: bool = True
    dry_run: bool = False
    samples: int = 1
    bits: int = 8
    column: str | None = None
    encoding: str | None = None
    test: object = None
    balance: bool = False
    home: Path | None = None

    def told(self) -> dict[str, Any]:
        """The options that were not left as they are, as the command line calls them."""
        order = self.order
        given = {
            "base": None if self.from_scratch else self.base, "characters": self.characters,
            "from-scratch": self.from_scratch and not self.characters, "method": order.method, "steps": order.steps,
            "time": order.time_s and f"{order.time_s:g}s", "epochs": order.epochs, "length": order.length,
            "rate": order.rate, "bits": None if self.bits == BITS[0] else self.bits, "column": self.column,
            "encoding": self.encoding, "balance": self.balance, "test": None if self.test is None else "YOUR_TEST_FILE",
        }  # fmt: skip
        return {option: value for option, value in given.items() if value is not None and value is not False}


def checked(sources: Sequence[object], **asked: Any) -> Request:
    """Raises HandrailError ("usage") that names the option and its range."""
    if not sources:
        raise HandrailError("usage", "there is nothing to learn from", "handrail finetune story.txt", field="data")
    order = Order(
        method=_method(asked.pop("method")),
        time_s=_seconds(asked.pop("time")),
        steps=_whole("steps", asked.pop("steps"), 1, 10_000_000),
        epochs=_number("epochs", asked.pop("epochs"), 0.01, 10_000),
        length=_whole("length", asked.pop("length"), 8, 8_192),
        rate=_number("rate", asked.pop("rate"), 1e-7, 1.0),
        seed=_whole("seed", asked.pop("seed"), 0, 2**31 - 1) or 0,
    )
    name = asked.pop("name")
    base, scratch = asked.pop("base"), asked["from_scratch"] or asked["characters"]
    if scratch and base is not None:
        raise HandrailError("usage", "--base and --from-scratch exclude each other", "give one of them", field="base")
    if scratch and order.method not in (None, "full"):
        raise HandrailError("usage", f"--method {order.method} needs a base", "leave --method out", field="method")
    if asked["bits"] not in BITS:
        raise _off("bits", "8, 4 or 32", asked["bits"])
    samples = _whole("samples", asked.pop("samples"), 0, 100) or 0
    return Request(
        tuple(sources), base or "smollm2", check_name(name_for(sources[0]) if name is None else name), order,
        **{**asked, "from_scratch": scratch, "samples": samples},
    )  # fmt: skip


def _method(method: object) -> str | None:
    if method is None or method in METHODS:
        return None if method is None else str(method)
    near = did_you_mean(str(method), METHODS).strip() or f"the methods: {listed(METHODS)}"
    raise HandrailError("usage", f"unknown method '{str(method)[:40]}'", near, field="method")


def _seconds(time: object) -> float | None:
    if time is None:
        return None
    is_number = isinstance(time, Real) and not isinstance(time, bool)
    found = to_seconds(str(time)) if isinstance(time, str) or is_number else -1.0
    if not 10.0 <= found <= LONGEST_S:
        raise _off("time", "10s to 30 days", f"{time:g}s" if is_number else time)
    return found


def _whole(option: str, value: object, low: int, high: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise _off(option, f"a whole number from {low} to {high:,}", value)
    return int(value)


def _number(option: str, value: object, low: float, high: float) -> float | None:
    if value is None:
        return None
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= float(value) <= high:
        raise _off(option, f"a number from {low:g} to {high:,g}", value)
    return float(value)


def _off(option: str, wanted: str, received: object) -> HandrailError:
    examples = {"time": "5m", "steps": "200", "epochs": "2", "length": "256", "rate": "0.0005", "bits": "8"}
    example = f"for example --{option} {examples.get(option, '1')}"
    return HandrailError("usage", f"{option} must be {wanted}, received '{received}'", example, field=option)
