"""Help is quick, and every verb shows an example."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from handrail.faces.cli import VERBS, carry_out, commands
from tests.faces.conftest import Cli
from tests.faces.shop import HANDRAIL

COMMANDS = dict(commands())
HEAVY = ("numpy", "rich", "onnxruntime", "sklearn", "orjson")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_verb_has_a_line_to_copy(name: str, cli: Cli) -> None:
    done = cli(*name.split(), "--help")
    assert done.status == 0
    assert f"Example: handrail {name}" in done.out or f"Example: handrail {name.split(maxsplit=1)[0]}" in done.out
    assert "--json" in done.out
    assert done.err == ""


def test_the_list_of_verbs_says_what_each_does(cli: Cli) -> None:
    done = cli("--help")
    assert done.status == 0
    for name, (_, line) in VERBS.items():
        assert name in done.out
        assert line in done.out


def test_help_is_there_in_a_moment() -> None:
    took = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run([*HANDRAIL, "--help"], capture_output=True, check=True)
        took.append(time.monotonic() - started)
    assert min(took) < 1.0


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "--help"], ["--version"], ["trian"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from handrail.faces.cli import carry_out; carry_out(sys.argv[1:]);"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""


def test_the_version_is_one_line(cli: Cli) -> None:
    import handrail

    assert cli("--version").out == f"handrail {handrail.__version__}\n"


def test_carrying_out_never_raises() -> None:
    assert carry_out(["--no-such-option"]) == 2
