"""`handrail import`: a model from a file that somebody exported."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, opened_store, shared
from handrail.faces.cli.printing import put, put_json, say

# How `handrail export` ends the names of files.
ARCHIVE = ".handrail"


@click.command("import", epilog="Example: handrail import reviews.handrail --name opinions")
@click.argument("file")
@once("--name", metavar="NAME", help="What it is called here (default: the name it had).")
@shared
def command(file: str, name: str | None, as_json: bool) -> None:
    """Take a model from an exported FILE. It is opened as if an enemy had made it: nothing in it can run, every member
    is hashed, and it must give its own answers again before it is kept.

    A .onnx file of vectors is taken, too, and so is a pretrained base by its name: minilm answers texts with vectors.
    """
    from handrail.catalog.entries import ENTRIES
    from handrail.store import check_name

    if file.endswith(".onnx") or (file in ENTRIES and not Path(file).exists()):
        _take(file, name, as_json=as_json)
        return
    if name is not None:
        check_name(name)
    entry = opened_store().import_archive(Path(file), name, approve=_proven)
    if as_json:
        put_json({"model": f"{entry.name}@{entry.version}", **entry.as_dict()})
    else:
        put(f"{entry.name}@{entry.version} imported and checked: {entry.task}")
        put(f"next: handrail report {entry.name}")


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
