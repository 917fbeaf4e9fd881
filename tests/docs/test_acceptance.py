"""The list of acceptance cases is whole, and what it says is shown by a test is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "handrail"
PAGE = (ROOT / "docs" / "reference" / "acceptance.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([TPDO]\d+) \| .* \| (works|differs|not yet)[^|]* \| (.*)\|$", PAGE, re.MULTILINE)
SHOWN = [(case, *shown) for case, _, cell in ROWS for shown in re.findall(r"`([^`]+)::([^`]+)`", cell)]
# What opens connections to other machines.
CLIENTS = {"http.client", "urllib.request", "requests", "httpx", "aiohttp", "smtplib", "ftplib", "xmlrpc.client"}


def test_every_case_is_listed_once() -> None:
    wanted = {"T": [*range(1, 11), 20, 21], "P": range(1, 14), "D": range(1, 26), "O": range(1, 13)}
    assert [case for case, _, _ in ROWS] == [
        f"{kind}{number}" for kind, numbers in wanted.items() for number in numbers
    ]


def test_what_works_is_shown_by_a_test() -> None:
    assert {case for case, state, _ in ROWS if state == "works"} <= {case for case, _, _ in SHOWN}


@pytest.mark.parametrize(("case", "path", "name"), SHOWN)
def test_what_shows_it_is_there(case: str, path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), case


def test_nothing_opens_a_connection_but_where_it_was_asked_to() -> None:
    """`handrail top URL` asks that server; a webhook goes to an origin that the operator allowed."""
    found = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if CLIENTS & set(imported(path))}
    assert found == {"faces/cli/top.py", "jobs/webhook.py"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{one.name}" for one in node.names))
