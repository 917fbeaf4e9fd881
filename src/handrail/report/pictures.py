"""Pictures as inline SVG: lines, dots, bars, a heat map; coloured by the page's style, so they turn dark with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from handrail.report.markup import Html, join, shortened, tag
from handrail.report.words import number, percent

WIDTH: Final = 440
HEIGHT: Final = 320
LEFT: Final = 62
RIGHT: Final = 26
TOP: Final = 12
BOTTOM: Final = 50
MOST_CELLS_WITH_COUNTS: Final = 12

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` onto pixels `start` to `end`; `as_percent` writes 0.5 as 50 %."""

    label: str
    low: float
    high: float
    start: float = 0.0
    end: float = 0.0
    logarithmic: bool = False
    as_percent: bool = False

    def place(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(max(value, 1e-12)), math.log(low), math.log(high)
        share = (value - low) / ((high - low) or 1.0)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    def written(self, value: float) -> str:
        if self.logarithmic:
            value = round(value)
        return percent(value) if self.as_percent else short_number(value)


@dataclass(frozen=True)
class Dot:
    """A dot with words that are shown when it is pointed at."""

    x: float
    y: float
    words: str
    radius: float = 4


def line_chart(
    label: str, across: Axis, up: Axis, points: Points, *, ideal: Points = (), dots: Sequence[Dot] = ()
) -> Html:
    """A line through `points`, the `ideal` dashed, and `dots` over them."""
    across, up, frame = _frame(across, up)
    line = tag("polyline", points=_path(points, across, up), class_="line")
    dashed = tag("polyline", points=_path(ideal, across, up), class_="ideal") if ideal else None
    marks = [
        tag(
            "circle",
            tag("title", dot.words),
            cx=across.place(dot.x),
            cy=up.place(dot.y),
            r=round(dot.radius, 1),
            class_="dot",
        )
        for dot in dots
    ]
    return _picture(label, WIDTH, HEIGHT, frame, dashed, line, *marks)


def scatter(label: str, across: Axis, up: Axis, points: Points) -> Html:
    """A dot for each point and the line where both are the same."""
    across, up, frame = _frame(across, up)
    same = [(max(across.low, up.low),) * 2, (min(across.high, up.high),) * 2]
    marks = [tag("circle", cx=across.place(x), cy=up.place(y), r=2.6, class_="point") for x, y in points]
    return _picture(
        label, WIDTH, HEIGHT, frame, *marks, tag("polyline", points=_path(same, across, up), class_="ideal")
    )


def histogram(label: str, across_label: str, edges: Sequence[float], counts: Sequence[int]) -> Html:
    """A bar for each bin."""
    across, up, frame = _frame(
        Axis(across_label, edges[0], edges[-1]), Axis("rows", 0, nice_ticks(0, max(*counts, 1))[-1])
    )
    bars = [
        tag(
            "rect",
            tag("title", f"{short_number(low)} to {short_number(high)}: {count:,} rows"),
            x=across.place(low) + 0.6,
            y=up.place(count),
            width=round(max(across.place(high) - across.place(low) - 1.2, 0.6), 1),
            height=round(up.place(0) - up.place(count), 1),
            class_="bar",
        )
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    zero = [(0.0, up.low), (0.0, up.high)]
    return _picture(label, WIDTH, HEIGHT, frame, *bars, tag("polyline", points=_path(zero, across, up), class_="ideal"))


def spans(label: str, rows: Sequence[tuple[str, float, float | None, float | None, float | None]]) -> Html:
    """(name, value, low, high, trivial) from 0 to 1: a bar with its interval, and a mark where the trivial model is."""
    height, start, end = 34, 142, WIDTH - 54
    axis = Axis("", 0, 1, start, end)
    drawn: list[Html] = []
    for index, (name, value, low, high, trivial) in enumerate(rows):
        middle = 14 + index * height
        zero = axis.place(0)
        drawn.append(tag("text", name, x=start - 10, y=middle + 5, class_="name", text_anchor="end"))
        drawn.append(tag("rect", x=zero, y=middle - 8, width=end - start, height=16, rx=3, class_="track"))
        width = round(axis.place(value) - zero, 1)
        drawn.append(tag("rect", x=zero, y=middle - 8, width=width, height=16, rx=3, class_="bar"))
        if low is not None and high is not None:
            drawn.append(_whisker(axis.place(low), axis.place(high), middle))
        if trivial is not None:
            mark = axis.place(trivial)
            title = tag("title", f"trivial model: {number(trivial)}")
            drawn.append(tag("line", title, x1=mark, x2=mark, y1=middle - 12, y2=middle + 12, class_="trivial"))
        drawn.append(tag("text", number(value), x=end + 8, y=middle + 5, class_="value"))
    return _picture(label, WIDTH, 8 + len(rows) * height, *drawn)


def bars(label: str, rows: Sequence[tuple[str, float, float, str]]) -> Html:
    """(name, value, spread, written): one bar each, from zero to the right."""
    height, start, end = 30, 150, WIDTH - 64
    most = max((value + spread for _, value, spread, _ in rows), default=1.0) or 1.0
    axis = Axis("", 0, most, start, end)
    drawn: list[Html] = []
    for index, (name, value, spread, written) in enumerate(rows):
        middle = 14 + index * height
        width = max(round(axis.place(value) - start, 1), 1.0)
        shown = tag("text", tag("title", name), shortened(name, 19), x=start - 10, y=middle + 5, text_anchor="end")
        drawn.append(shown)
        drawn.append(tag("rect", x=start, y=middle - 8, width=width, height=16, rx=3, class_="bar"))
        if spread > 0:
            drawn.append(_whisker(axis.place(value - spread), axis.place(value + spread), middle))
        drawn.append(tag("text", written, x=end + 10, y=middle + 5, class_="value"))
    return _picture(label, WIDTH, 8 + len(rows) * height, *drawn)


def heat_map(label: str, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Html:
    """Rows are the truth, columns the answers; each cell's strength is its share of the row, right answers in green."""
    count = len(labels)
    few = count <= MOST_CELLS_WITH_COUNTS
    cell = max(64 if count <= 4 else 46, 0) if few else 21
    limit = 16 if few else 22
    left = max(66, 24 + 7 * min(limit, max(len(name) for name in labels)))
    straight = few and max(len(name) for name in labels) * 7.4 <= cell + 4
    top = 46 if straight else 40 + int(5.2 * min(limit, max(len(name) for name in labels)))
    drawn = [
        tag("text", "answered →", x=left, y=14, class_="axis"),
        tag("text", "truth ↓", x=left - 8, y=top - 10, class_="axis", text_anchor="end"),
    ]
    for index, name in enumerate(labels):
        x, y = left + (index + 0.5) * cell, top + (index + 0.5) * cell + 4
        turned = None if straight else f"rotate(-45 {x} {top - 6})"
        anchor = "middle" if straight else "start"
        drawn.append(tag("text", shortened(name, limit), x=x, y=top - 8, text_anchor=anchor, transform=turned))
        drawn.append(tag("text", shortened(name, limit), x=left - 8, y=y, text_anchor="end"))
        drawn.extend(_heat_row(labels, index, matrix[index], left, top + index * cell, cell, few))
    over = 24 if straight else int(5.2 * limit)
    return _picture(label, left + count * cell + over, top + count * cell + 6, *drawn, natural=True)


def _heat_row(
    labels: Sequence[str], index: int, counts: Sequence[int], left: float, y: float, cell: int, few: bool
) -> list[Html]:
    whole = sum(counts) or 1
    drawn = []
    for column, count in enumerate(counts):
        strength = round(count / whole, 3)
        words = f"{count:,} rows that are {labels[index]} were answered {labels[column]} ({percent(count / whole)})"
        x = left + column * cell
        box = {"x": x + 1, "y": y + 1, "width": cell - 2, "height": cell - 2, "rx": 3 if few else 2}
        if few or count or column == index:
            drawn.append(tag("rect", **box, class_="empty"))
        if count:
            shade = round(0.12 + 0.88 * strength, 3)
            kind = "right" if column == index else "wrong"
            drawn.append(tag("rect", tag("title", words), **box, class_=kind, fill_opacity=shade))
        if few:
            over = " over" if strength > 0.5 else ""
            middle = {"x": x + cell / 2, "y": y + cell / 2 + 5, "text_anchor": "middle"}
            drawn.append(tag("text", f"{count:,}", **middle, class_=f"count{over}"))
    return drawn


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    reach = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(reach / wanted))
    step *= next(times for times in (1, 2, 5, 10) if reach / (step * times) <= wanted)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def short_number(value: float) -> str:
    """A number for an axis: 12k, 3.4M, 0.25."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * (10 if letter == "k" else 1):
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _frame(across: Axis, up: Axis) -> tuple[Axis, Axis, Html]:
    """The axes with their pixels, and their lines, ticks and labels."""
    across = Axis(**{**across.__dict__, "start": LEFT, "end": WIDTH - RIGHT})
    up = Axis(**{**up.__dict__, "start": HEIGHT - BOTTOM, "end": TOP})
    drawn: list[Html] = []
    for value in _ticks(up):
        y = up.place(value)
        drawn.append(tag("line", x1=across.start, x2=across.end, y1=y, y2=y, class_="grid"))
        drawn.append(tag("text", up.written(value), x=LEFT - 8, y=y + 4, text_anchor="end", class_="tick"))
    for value in _ticks(across):
        x, anchor = across.place(value), "middle"
        drawn.append(tag("text", across.written(value), x=x, y=up.start + 18, text_anchor=anchor, class_="tick"))
    drawn.append(tag("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="base"))
    middle, side = (across.start + across.end) / 2, (up.start + up.end) / 2
    drawn.append(tag("text", across.label, x=middle, y=HEIGHT - 10, text_anchor="middle", class_="axis"))
    turned = f"rotate(-90 14 {side})"
    drawn.append(tag("text", up.label, x=14, y=side, text_anchor="middle", class_="axis", transform=turned))
    return across, up, join(drawn)


def _ticks(axis: Axis) -> list[float]:
    if axis.logarithmic:
        steps = max(1, math.ceil(math.log2(axis.high / axis.low)) if axis.high > axis.low else 1)
        every = math.ceil(steps / 5)
        return [axis.high / 2**power for power in range(0, steps + 1, every) if axis.high / 2**power >= axis.low * 0.99]
    span = abs(axis.high - axis.low) * 1e-9
    return [value for value in nice_ticks(axis.low, axis.high) if axis.low - span <= value <= axis.high + span]


def _path(points: Points, across: Axis, up: Axis) -> str:
    return " ".join(f"{across.place(x)},{up.place(y)}" for x, y in points)


def _whisker(low: float, high: float, middle: float) -> Html:
    ends = f"M{low} {middle - 5}V{middle + 5}M{low} {middle}H{high}M{high} {middle - 5}V{middle + 5}"
    return tag("path", d=ends, class_="whisker")


def _picture(label: str, width: float, height: float, *drawn: Html | None, natural: bool = False) -> Html:
    """`natural` keeps the picture's own size; others fill the width they are given."""
    size: dict[str, Any] = {"width": width, "height": height} if natural else {}
    return tag("svg", *drawn, viewBox=f"0 0 {width} {height}", role="img", aria_label=label, **size)
