"""`handrail import`: a model from a file that somebody exported, from a folder, or from a registry."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handrail.core.errors import HandrailError, clipped
from handrail.faces.cli.options import once, opened_store, shared, whole
from handrail.faces.cli.printing import put, put_json, put_table, say, size_words

if TYPE_CHECKING:
    from handrail.model import Model

# How `handrail export` ends the names of files.
ARCHIVE = ".handrail"
BITS = ("8", "4", "32")


def bits(option: str, text: str) -> int:
    """How many bits a weight keeps."""
    if text not in BITS:
        problem = f"{option} must be 8, 4 or 32, received '{clipped(text)}'"
        raise HandrailError("usage", problem, f"for example {option} 8", field="bits")
    return int(text)


@click.command("import", epilog="Example: handrail import smollm2 --name assistant")
@click.argument("file")
@once("--name", metavar="NAME", help="What it is called here (default: the name it had).")
@once("--bits", read=bits, metavar="8|4|32", help="How a model that writes keeps each weight (default: 8).")
@once("--window", read=whole(16, 2**20, "2048"), metavar="N", help="How many tokens it looks back on (up to 8,192).")
@once("--chat-template", metavar="FILE", help="Another chat template than the one it came with.")
@shared
def command(
    file: str, name: str | None, bits: int | None, window: int | None, chat_template: str | None, as_json: bool
) -> None:
    """Take a model from an exported FILE. It is opened as if an enemy had made it: nothing in it can run, every member
    is hashed, and it must give its own answers again before it is kept.

    A .onnx file of vectors is taken, too, and so is a pretrained base by its name: minilm answers texts with vectors.

    Models that write text come from smollm2, a Hugging Face folder, a .gguf file, or a hub's org/name. Their weights
    are rounded to 8 bits unless --bits says otherwise, and what that costs is measured and shown.
    """
    from handrail.store import check_name

    if name is not None:
        check_name(name)
    if _writes(file):
        _take_decoder(file, name, bits=bits or 8, window=window, template=chat_template, as_json=as_json)
        return
    _refuse_options(file, {"bits": bits, "window": window, "chat-template": chat_template})
    if file.endswith(".onnx") or _is_base(file):
        _take(file, name, as_json=as_json)
        return
    entry = opened_store().import_archive(Path(file), name, approve=_proven)
    if as_json:
        put_json({"model": f"{entry.name}@{entry.version}", **entry.as_dict()})
    else:
        put(f"{entry.name}@{entry.version} imported and checked: {entry.task}")
        put(f"next: handrail {'generate' if entry.task == 'generation' else 'report'} {entry.name}")


def model_of(what: str, *, dry_run: bool = False) -> str:
    """The model's reference where `what` is an exported file, which is imported unless that was done before; else
    `what` as it is. Raises HandrailError for a `dry_run`, which imports nothing."""
    if not what.endswith(ARCHIVE) or not Path(what).is_file():
        return what
    if dry_run:
        mend = f"handrail import {shlex.quote(what)}, then handrail deploy NAME --dry-run"
        raise HandrailError("usage", "a dry run imports nothing", mend, field="dry-run")
    from handrail.core.bundle import MANIFEST, parse_manifest
    from handrail.store.archive import read_archive

    manifest = read_archive(Path(what))[MANIFEST]
    name, store = parse_manifest(manifest, Path(what)).name, opened_store()
    for version in store.versions(name):
        # The manifest holds the hash of every other member.
        if (store.find(f"{name}@{version}") / MANIFEST).read_bytes() == manifest:
            return f"{name}@{version}"
    entry = store.import_archive(Path(what), approve=_proven)
    say(f"{entry.name}@{entry.version} imported and checked: {entry.task}")
    return f"{entry.name}@{entry.version}"


def _writes(file: str) -> bool:
    """Whether what is to be imported is a model that writes."""
    from handrail.catalog.decoders import HUB_ID
    from handrail.catalog.entries import DECODERS

    path = Path(file)
    if "\0" in file or file.endswith((ARCHIVE, ".onnx")):
        return False
    if path.is_dir() or file.endswith(".gguf") or (file in DECODERS and not path.exists()):
        return True
    return not path.exists() and HUB_ID.fullmatch(file) is not None


def _is_base(file: str) -> bool:
    from handrail.catalog.entries import ENTRIES

    return file in ENTRIES and not Path(file).exists()


def _refuse_options(file: str, given: dict[str, object]) -> None:
    """Raises HandrailError for options that only models that write have."""
    for option, value in given.items():
        if value is not None:
            problem = f"--{option} is for models that write, and {clipped(file)} is none"
            raise HandrailError("usage", problem, f"handrail import {shlex.quote(clipped(file))}", field=option)


def _take_decoder(
    file: str, name: str | None, *, bits: int, window: int | None, template: str | None, as_json: bool
) -> None:
    from handrail.core.files import read_limited
    from handrail.encode.chat import MAX_TEMPLATE
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.training.importing import import_decoder

    text = None if template is None else read_limited(Path(template), MAX_TEMPLATE).decode("utf-8", "replace")
    model = import_decoder(file, name, bits=bits, window=window, template=text, tell=tell_plainly)
    manifest = model.manifest
    if as_json:
        put_json({"model": f"{model.name}@{model.version}", "task": manifest.task, "base": manifest.base,
                  "encode": manifest.encode, "precision": manifest.data["precision"]})  # fmt: skip
        return
    put(f"{model.name}@{model.version} imported and checked: {manifest.task}")
    put_made(model)
    put(f"next: handrail {'chat' if chats(model) else 'generate'} {model.name}")


def put_made(model: Model) -> None:
    """What a model that writes is, and what keeping it in fewer bits has cost."""
    from handrail.tasks.generation.measure import cost_of_rounding

    encode, base = model.manifest.encode, model.manifest.base
    talks = "chats by its own template" if chats(model) else "was not taught to chat"
    put_table([
        ("  what", str(base.get("what", "–"))),
        ("  licence", str(base.get("licence", "–"))),
        ("  from", f"{base.get('source', '–')} (sha256 {str(base.get('sha256', '–'))[:12]}…)"),
        ("  window", f"{encode['window']:,} tokens; {talks}"),
    ])  # fmt: skip
    if rows := model.manifest.data.get("precision"):
        put()
        heads = ("weights", "bits per byte", "perplexity", "tokens/s", "size")
        put_table([heads, *map(_precision_row, rows)], header=True)
        put("(bits per byte and perplexity: how well it foresees a text of ours, less is better)")
        before, after = (row.get("perplexity") for row in (rows[0], rows[-1]))
        if before and after and (said := cost_of_rounding(int(rows[-1]["bits"]), before, after)):
            say(f"! {said}")


def chats(model: Model) -> bool:
    """Whether a model brings a chat template."""
    return "encode/chat_template.txt" in model.manifest.files


def _precision_row(row: dict[str, float]) -> tuple[str, ...]:
    kind = "float32" if row["bits"] == 32 else f"int{row['bits']:.0f}"
    return (
        kind,
        f"{row['bits_per_byte']:.4f}",
        f"{row['perplexity']:.2f}" if "perplexity" in row else "–",  # Models of earlier versions do not say it.
        f"{row['tokens_per_s']:.1f}",
        size_words(int(row["bytes"])),
    )


def _take(file: str, name: str | None, *, as_json: bool) -> None:
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.training.importing import import_base, import_onnx

    model = import_onnx(Path(file), name) if file.endswith(".onnx") else import_base(file, name, tell=tell_plainly)
    if as_json:
        put_json({"model": f"{model.name}@{model.version}", "task": model.manifest.task})
    else:
        put(f"{model.name}@{model.version} imported and checked: {model.manifest.task}")
        put(f"next: handrail serve {model.name}")


def _proven(folder: Path) -> None:
    """Raises HandrailError for a model that cannot show what it answered where it was made."""
    from handrail.core.bundle import damaged
    from handrail.model import load

    model = load(folder)
    if not model.examples:
        raise damaged(folder, "it has no examples with which to prove its answers")
    model.check()
