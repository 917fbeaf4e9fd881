"""Writes the parts of the docs that the code knows best; `--check` fails when they lag behind it.

ARCHITECTURE.md         the tree, from the first line of each module's docstring
docs/reference/cli.md   the help of every command
docs/reference/errors.md  the table of error codes
docs/reference/handrail.yaml.md, handrail.schema.json  the keys of handrail.yaml, for people and for editors
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import click

from handrail.core import errors
from handrail.deploy import schema
from handrail.faces.cli import commands, group

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "handrail"
# What the help is wide on a terminal of 80 columns.
WIDTH = 78
BEGIN, END = "<!-- tree: written by dev/docs.py -->", "<!-- end of tree -->"


def main() -> int:
    wanted = {
        ROOT / "ARCHITECTURE.md": architecture(),
        ROOT / "docs" / "reference" / "cli.md": command_line(),
        ROOT / "docs" / "reference" / "errors.md": error_codes(),
        ROOT / "docs" / "reference" / "handrail.yaml.md": schema.reference(),
        ROOT / "docs" / "reference" / schema.ADDRESS: schema.schema_text(),
    }
    late = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for path in late:
            print(f"{path.relative_to(ROOT)} lags behind the code: run python dev/docs.py", file=sys.stderr)
        return 1 if late else 0
    for path in late:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def architecture() -> str:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n```\n{tree()}\n```\n{END}{after}"


def tree() -> str:
    lines = [f"src/handrail/{'':22}{first_line(SOURCE / '__init__.py')}"]
    for path in sorted(
        SOURCE.rglob("*.py"), key=lambda path: (path.parent.parts, path.name != "__init__.py", path.name)
    ):
        parts = path.relative_to(SOURCE).parts
        if parts == ("__init__.py",):
            continue
        name = f"{parts[-2]}/" if parts[-1] == "__init__.py" else parts[-1]
        depth = len(parts) - (2 if parts[-1] == "__init__.py" else 1)
        lines.append(f"{'  ' * (depth + 1) + name:<35}{first_line(path)}")
    return "\n".join(lines)


def first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise SystemExit(f"{path.relative_to(ROOT)} has no docstring")
    return docstring.splitlines()[0]


def command_line() -> str:
    pages = ["# The command line\n\nWritten by `python dev/docs.py` from the commands themselves.\n"]
    top = click.Context(group, info_name="handrail", terminal_width=WIDTH, **group.context_settings)
    contexts = {"handrail": top}
    for name, command in commands():
        above, _, word = f"handrail {name}".rpartition(" ")
        contexts[f"handrail {name}"] = click.Context(command, info_name=word, parent=contexts[above])
    for name, context in contexts.items():
        pages.append(f"## {name}\n\n```\n{context.get_help()}\n```\n")
    return "\n".join(pages)


def error_codes() -> str:
    rows = [f"| {code} | {exit_status} | {http} |" for code, (exit_status, http) in errors.EXIT_AND_HTTP_STATUS.items()]
    return "\n".join(
        ["# Errors", "", "Every error has a code, a problem and a mend; all faces show the same.", "",
         "| code | exit status | HTTP status |", "|---|---|---|", *rows, ""]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
