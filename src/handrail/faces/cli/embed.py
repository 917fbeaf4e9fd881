"""`handrail embed`: vectors for texts, as an array in a file or as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import click

from handrail.core.errors import HandrailError, counted
from handrail.faces.cli.options import once, shared, writable
from handrail.faces.cli.printing import put_json, say
from handrail.faces.cli.summarize import text_in


@click.command("embed", epilog="Example: handrail embed titles.txt -o titles.npy")
@click.argument("file")
@once("-o", "--output", metavar="FILE", help="Write one float32 array (texts, size) to a .npy file.")
@once("--base", metavar="NAME", help="What gives texts their meaning (default: minilm).")
@shared
def command(file: str, output: str | None, base: str | None, as_json: bool) -> None:
    """Turn each line of FILE (- is standard input) into a vector of length 1: the product of two is the cosine of their
    meanings. Without -o the vectors are written as JSON, one a line."""
    from handrail.core.bundle import to_npy
    from handrail.core.files import write_bytes
    from handrail.encode.vectors import vector_answers
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.language.embedder import BASE, Embedder

    path = _array_file(output)
    lines = [line for line in text_in(file).splitlines() if line.strip()]
    embedder = Embedder(base or BASE, tell=tell_plainly)
    vectors = embedder(lines)
    if path is not None:
        write_bytes(path, to_npy(vectors))
        say(f"wrote {counted(len(lines), 'vector')} of {embedder.size:,} numbers to {path}")
    rows = [answer["vector"] for answer in vector_answers(vectors)] if path is None else []
    if as_json:
        put_json({"base": embedder.name, "size": embedder.size, "texts": len(lines), "vectors": rows})
    else:
        for row in rows:
            print(json.dumps(row))


def _array_file(output: str | None) -> Path | None:
    if output is None:
        return None
    if not output.endswith(".npy"):
        raise HandrailError(
            "usage", f"-o writes a .npy file, received '{output[:60]}'", "-o vectors.npy", field="output"
        )
    return writable(output)
