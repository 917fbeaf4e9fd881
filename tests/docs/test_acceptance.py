"""The list of acceptance cases is whole, and what it says is shown by a test is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "acceptance.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([DO]\d+) \| .* \| (works|differs|not yet)[^|]* \| (.*)\|$", PAGE, re.MULTILINE)


def test_every_case_is_listed_once() -> None:
    assert [case for case, _, _ in ROWS] == [*(f"D{n}" for n in range(1, 26)), *(f"O{n}" for n in range(1, 13))]


@pytest.mark.parametrize(("case", "shown"), [(case, shown) for case, _, shown in ROWS if shown.strip()])
def test_what_shows_it_is_there(case: str, shown: str) -> None:
    path, _, name = shown.strip().strip("`").partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert not name or f"def {name}(" in source
