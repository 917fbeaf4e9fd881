"""The page: nothing in it runs or loads, every part is there, and missing parts do no harm."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from handrail.report.html import draw
from handrail.report.looks import STYLE
from tests.report.samples import EVERY_PROBLEM, binary

PAYLOADS = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><img src=x onerror=alert(1)>",
    "'><svg onload=alert(1)>", "<svg/onload=alert(1)>", "\" onmouseover=\"alert(1)", "' onfocus='alert(1)' autofocus='",
    "javascript:alert(1)", "<a href=javascript:alert(1)>x</a>", "<iframe src=//evil.example></iframe>",
    "<link rel=stylesheet href=//evil.example>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
    "<!--<script>alert(1)//-->", "]]><script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;", "{{7*7}}", "${alert(1)}", "`-alert(1)-`", "\\u003cscript\\u003e",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<IMG SRC=x ONERROR=alert(1)>", "<math><mi xlink:href=javascript:alert(1)>", "<form action=//evil.example><input>",
    "\u202e<b>gnp.exe", "<style>@import'//evil.example'</style>", "\ud800<u>",
    "</textarea><object data=//evil.example>",
)  # fmt: skip
ALLOWED_TAGS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title style body main header nav section div span p h1 h2 h3 ul li a b i dl dt dd table thead "
        "tbody tr th td details summary pre input svg rect text line polyline circle path script",
    )
)


class Tags(HTMLParser):
    """Every tag with its attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.tags


def poisoned(value: Any, payload: str) -> Any:
    """The report with every word in it, keys that are data included, replaced by the payload."""
    if isinstance(value, dict):
        return {key: poisoned(item, payload) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, payload) for item in value]
    return payload if isinstance(value, str) else value


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_words_of_the_data_never_become_markup(payload: str) -> None:
    report = poisoned(copy.deepcopy(binary(200)), payload)
    report["mistakes"][0]["row"] = {payload: payload}
    report["versions"] = {payload: payload}
    report["score"]["metric"] = "roc_auc"
    page = draw(report)
    page.encode("utf-8")
    found = tags_of(page)
    assert {tag for tag, _ in found} <= ALLOWED_TAGS
    assert sum(tag == "script" for tag, _ in found) == 1
    assert sum(tag == "style" for tag, _ in found) == 1
    for _, attributes in found:
        assert not any(name.startswith("on") for name in attributes)
        assert not {"src", "action", "srcdoc", "xlink:href", "data"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")


@pytest.mark.parametrize("problem", EVERY_PROBLEM)
def test_the_page_loads_nothing_and_runs_only_the_script_it_names(problem: str) -> None:
    page = draw(EVERY_PROBLEM[problem]())
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = next(str(item["content"]) for tag, item in tags_of(page) if item.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    ("problem", "sections"),
    [
        ("binary", "warnings notes measures answers labels threshold ranking calibration importance learning mistakes"),
        ("multiclass", "measures answers labels calibration learning mistakes card"),
        ("regression", "measures numbers importance learning mistakes columns split plan card"),
        ("multilabel", "measures labels ranking columns split plan card"),
    ],
)
def test_every_part_is_there_and_starts_with_a_sentence(problem: str, sections: str) -> None:
    page = draw(EVERY_PROBLEM[problem]())
    for anchor in sections.split():
        part = re.search(f'<section id="{anchor}"[^>]*><h2>[^<]+</h2><p>[^<]{{15,}}', page)
        assert part is not None, anchor


def test_the_threshold_is_told_in_counts() -> None:
    assert re.search(r"of \d+ rows flagged, \d+ really are &#x27;yes&#x27; \(\d+ %\)", draw(binary()))


@pytest.mark.parametrize("key", sorted(binary(50)))
def test_any_part_may_be_missing_or_empty(key: str) -> None:
    report = binary(50)
    del report[key]
    assert draw(report).endswith("</html>\n")
    for empty in (None, {}, [], ""):
        assert draw({**report, key: empty}).endswith("</html>\n")


@pytest.mark.parametrize("key", ["metrics", "per_class", "confusion", "curves", "calibration", "thresholds", "metric"])
def test_any_measure_may_be_missing(key: str) -> None:
    report = binary(50)
    del report["score"][key]
    assert draw(report).endswith("</html>\n")


def test_an_empty_report_is_a_page() -> None:
    assert "<h1>Model</h1>" in draw({})


@pytest.mark.parametrize("make", EVERY_PROBLEM.values(), ids=EVERY_PROBLEM)
def test_it_is_drawn_in_less_than_a_second(make: Callable[[], dict[str, Any]]) -> None:
    report = make()
    started = time.process_time()
    page = draw(report)
    assert time.process_time() - started < 1
    assert len(page) < 400_000


def test_what_was_left_out_is_told_with_the_reason() -> None:
    left_out = {"importance": "No time to shuffle.", "learning_curve": "No time to learn again."}
    page = draw({**binary(80), "importance": [], "learning_curve": [], "left_out": left_out})
    assert "No time to shuffle." in page
    assert "No time to learn again." in page


def test_the_dashed_line_of_precision_and_recall_is_the_share_of_positives() -> None:
    report = binary(400)
    (curve,) = report["score"]["curves"]
    share = sum(item["rows"] for item in report["score"]["per_class"] if item["label"] == "yes") / 400
    assert curve["positive_share"] == pytest.approx(share)
    figure = draw(report).split("Precision–recall curve")[1].split("</svg>")[0]
    heights = re.search(r'<polyline points="62.0,([\d.]+) 414.0,([\d.]+)" class="ideal"', figure)
    assert heights is not None
    assert float(heights[1]) == float(heights[2]) == pytest.approx(270 - share * 258, abs=0.1)


def test_few_rows_are_small_dots_that_no_line_joins() -> None:
    report = binary(400)
    bins = [(200, 0.1, 0.1), (190, 0.5, 0.5), (2, 0.7, 0.0), (8, 0.9, 1.0)]
    report["score"]["calibration"] = [
        {"rows": rows, "mean_probability": said, "share_right": held} for rows, said, held in bins
    ]
    figure = draw(report).split('aria-label="Calibration"')[1].split("</svg>")[0]
    line = re.search(r'<polyline points="([^"]*)" class="line"', figure)
    assert line is not None
    assert len(line[1].split()) == 2
    sizes = [float(size) for size in re.findall(r' r="([\d.]+)"', figure)]
    assert len(sizes) == 4
    assert sizes[2] < sizes[3] < sizes[1] < sizes[0]


def test_words_in_cells_are_not_broken_in_the_middle() -> None:
    cells, tags = (re.search(rf"^{name}\{{[^}}]*\}}", STYLE, re.MULTILINE) for name in ("th,td", r"\.pill"))
    assert cells is not None
    assert "overflow-wrap:break-word" in cells[0]
    assert tags is not None
    assert "white-space:nowrap" in tags[0]


def test_the_kind_of_problem_is_named() -> None:
    assert "<dd>classification: two distinct values in 7,043 rows</dd>" in draw(binary(80))


def test_the_same_report_gives_the_same_page() -> None:
    assert draw(binary(80)) == draw(binary(80))
