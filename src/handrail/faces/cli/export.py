"""`handrail export`: a model as one file, or in a format that others read."""

from __future__ import annotations

from pathlib import Path

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, shared, writable
from handrail.faces.cli.printing import put, put_json, size_words

# How `--format` ends what it writes; "" for a folder.
ENDINGS = {"safetensors": "", "gguf": ".gguf", "adapter": "-adapter"}


@click.command("export", epilog="Example: handrail export reviews -o reviews.handrail")
@click.argument("name")
@once("-o", "--output", metavar="FILE", help="Where to (default: NAME.handrail).")
@once("--format", "kind", metavar="FORMAT", help="Of a model that writes: safetensors (a folder), gguf, or adapter.")
@once("--bits", metavar="16|8", help="How a GGUF keeps each weight (default: 16).")
@shared
def command(name: str, output: str | None, kind: str | None, bits: str | None, as_json: bool) -> None:
    """Write the model NAME as one file that `handrail import` reads; the same model gives the same bytes.

    A model that was fine-tuned here can be written for others, too: --format safetensors makes the folder that
    transformers opens, gguf the file that llama.cpp opens, adapter what peft puts on top of the base.
    """
    from handrail.store import Store, split_reference

    if kind is not None:
        _export_weights(name, kind, output, _bits(bits), as_json=as_json)
        return
    archive = writable(output) if output is not None else Path(f"{split_reference(name)[0]}.handrail")
    Store().export(name, archive)
    _put(archive, archive.stat().st_size, as_json=as_json)


def _export_weights(name: str, kind: str, output: str | None, bits: int, *, as_json: bool) -> None:
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.finetuning.formats import export_weights
    from handrail.store import split_reference

    path = writable(output) if output is not None else Path(f"{split_reference(name)[0]}{ENDINGS.get(kind, '')}")
    export_weights(name, kind, path, bits=bits, tell=tell_plainly)
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    _put(path, sum(item.stat().st_size for item in files), as_json=as_json)


def _bits(text: str | None) -> int:
    if text not in (None, "16", "8"):
        raise HandrailError("usage", f"--bits must be 16 or 8, received '{str(text)[:40]}'", "--bits 8", field="bits")
    return int(text or 16)


def _put(path: Path, size: int, *, as_json: bool) -> None:
    if as_json:
        put_json({"file": str(path), "bytes": size})
    else:
        put(f"wrote {path} ({size_words(size)})")
