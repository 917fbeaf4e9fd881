"""Walks through a page as a reader would: its commands are typed one after the other, its outputs looked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The port of every page; a test has one of its own.
PORT = "8080"
END = "== end of a command =="


@dataclass(frozen=True)
class Typed:
    """A command of a page, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Walk:
    """A reader with a home and a port of their own, and a copy of the examples."""

    home: Path
    port: int
    folder: Path

    def follow(self, page: str, names: Mapping[str, str] | None = None) -> None:
        """Types everything that a page shows, in its order, and looks for what it shows below each command.

        `names`: words of the page, and what they are here.
        """
        typed = typed_in(page)
        assert typed, "the page shows nothing to type"
        for one, said in zip(typed, self._said(typed, {PORT: str(self.port), **(names or {})}), strict=True):
            for line in one.shown:
                assert looks_like(line, said), f"$ {one.command}\nshown: {line}\nsaid:\n{said}"

    def _said(self, typed: list[Typed], names: Mapping[str, str]) -> list[str]:
        """What each command prints, all in one shell, with the page's own words."""
        lines = "\n".join(f"{one.command}\necho; echo '{END}'" for one in typed)
        for word, here in names.items():
            lines = lines.replace(word, here)
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", lines],
            cwd=self.folder, env=self._environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        *said, rest = done.stdout.split(f"\n{END}\n")
        if done.returncode:
            raise AssertionError(f"$ {typed[len(said)].command}\n{rest}{done.stderr}")
        for word, here in names.items():
            said = [text.replace(here, word) for text in said]
        return said

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "HANDRAIL_HOME": str(self.home), "PATH": path, "COLUMNS": "80"}


def a_checkout(folder: Path) -> Path:
    """What a walk needs of a checkout, where it may leave files behind."""
    for name in ("deploy", "cortex"):
        shutil.copytree(ROOT / "examples" / name, folder / "examples" / name)
    return folder


def typed_in(page: str) -> list[Typed]:
    """What a page's consoles and Python show, in their order."""
    found: list[Typed] = []
    for kind, text in BLOCK.findall(page):
        if kind == "python":
            found.append(Typed(f"python -W error - <<'END OF PYTHON'\n{text}END OF PYTHON"))
        for line in text.splitlines() if kind == "console" else ():
            if line.startswith("$ "):
                found.append(Typed(line[2:].split("  # ")[0].strip()))
            else:
                found[-1] = Typed(found[-1].command, (*found[-1].shown, line))
    return found


def blocks_in(page: str, kind: str) -> list[str]:
    """The blocks of a page in one language."""
    return [text for found, text in BLOCK.findall(page) if found == kind]


def looks_like(shown: str, said: str) -> bool:
    """Whether a line of a page is the beginning of a line that was printed; how many blanks there are counts not."""
    wanted = " ".join(shown.split())
    return any(" ".join(line.split()).startswith(wanted) for line in said.splitlines())
