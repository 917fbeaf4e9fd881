"""`handrail doctor`: what is installed, what is missing, what to type."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handrail import __version__
from handrail.core.errors import HandrailError, counted
from handrail.faces.cli.options import opened_store, shared
from handrail.faces.cli.printing import put, put_heading, put_json, put_table, size_words

if TYPE_CHECKING:
    from handrail.store import Store

NEEDED = ("numpy", "onnxruntime", "orjson", "httptools", "uvloop", "click", "rich")
EXTRAS = {
    "train": ("scikit-learn", "lightgbm", "scipy", "onnx", "python-calamine"),
    "torch": ("torch", "transformers", "safetensors", "charset-normalizer"),
    "parquet": ("pyarrow",),
    "grpc": ("grpcio", "protobuf"),
    "zstd": ("zstandard",),
    "otel": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
}
LEAST_FREE_BYTES = 500_000_000
Lines = list[tuple[str, str, str]]


@click.command("doctor", epilog="Example: handrail doctor --json")
@shared
def command(as_json: bool) -> None:
    """Show what is installed and what is missing, where models are kept and whether that place is in order.

    Completion in the shell: eval "$(_HANDRAIL_COMPLETE=bash_source handrail)", or zsh_source, fish_source.
    """
    parts = {"machine": machine(), "packages": packages(), "store": store()}
    ok = not any(mark == "✗" for lines in parts.values() for mark, _, _ in lines)
    if as_json:
        put_json({"ok": ok, **{name: [_as_dict(line) for line in lines] for name, lines in parts.items()}})
    else:
        for name, lines in parts.items():
            put_heading(name)
            put_table([(f" {mark} {what}", said) for mark, what, said in lines])
        put()
        put("all is well" if ok else "mend what is marked ✗")
    if not ok:
        raise click.exceptions.Exit(5)


def machine() -> Lines:
    """Python, system, cores, memory."""
    from handrail.training.asked import machine as measured

    found = measured()
    cores = "1 core" if found.cores == 1 else f"{found.cores} cores"
    return [
        ("✓", "handrail", __version__),
        ("✓", "python", f"{platform.python_version()} ({sys.executable})"),
        ("✓", "system", f"{platform.system()} {platform.machine()}, {cores}"),
        ("✓", "memory", f"{size_words(found.free_memory_bytes)} free"),
    ]


def packages() -> Lines:
    """Each package with its version, or what to type."""
    lines: Lines = [_package(name, "✗", "pip install --force-reinstall handrail") for name in NEEDED]
    for extra, names in EXTRAS.items():
        lines += [_package(name, "–", f'missing: pip install "handrail[{extra}]"') for name in names]
    return lines


def store() -> Lines:
    """Where models are kept, whether one may write there, how many there are, which bases are at hand."""
    lines: Lines = []
    try:
        here = opened_store()
        lines.append(_writable(here.home))
        lines.append(_disk(here.home))
        entries = here.models()
    except (HandrailError, OSError) as error:
        mend = error.mend if isinstance(error, HandrailError) else "set HANDRAIL_HOME to a folder you may write"
        problem = error.problem if isinstance(error, HandrailError) else str(error)
        return [*lines, ("✗", "models", f"{problem}: {mend}")]
    damaged = [f"{entry.name}@{entry.version}" for entry in entries if entry.task == "damaged"]
    lines.append(("✓", "models", f"{len({entry.name for entry in entries})}, versions: {len(entries)}"))
    lines += [("✗", name, f"damaged: handrail models remove {name} --yes") for name in damaged]
    lines += _aliases(here)
    lines.append(_database(here))
    lines += _left_behind(here)
    return lines + _bases(here.home)


def _package(name: str, mark: str, missing: str) -> tuple[str, str, str]:
    try:
        return ("✓", name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return (mark, name, missing)


def _writable(home: Path) -> tuple[str, str, str]:
    folder = home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return ("✓", "home", str(home) + ("" if home.exists() else " (will be made)"))
    return ("✗", "home", f"{home}: may not write there; set HANDRAIL_HOME to a folder you may write")


def _disk(home: Path) -> tuple[str, str, str]:
    folder = home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return ("✓" if free > LEAST_FREE_BYTES else "✗", "disk", f"{size_words(free)} free")


def _database(here: Store) -> tuple[str, str, str]:
    path = here.home / "handrail.db"
    if not path.exists():
        return ("✓", "database", "none yet: it is made when needed")
    try:
        runs = len(here.runs())
    except HandrailError as error:
        return ("✗", "database", f"{error.problem}: {error.mend}")
    return ("✓", "database", f"{counted(runs, 'finished training')} remembered; it can be made again from the models")


def _aliases(here: Store) -> Lines:
    """A line for each alias that leads nowhere, or that cannot be read."""
    lines: Lines = []
    for name in here.names():
        try:
            led = here.aliases(name)
        except HandrailError as error:
            lines.append(("✗", name, f"{error.problem} ({error.where}): {error.mend}"))
            continue
        gone = [alias for alias, version in led.items() if version not in here.versions(name)]
        lines += [("✗", f"{name}@{alias}", f"leads nowhere: handrail models unalias {name} {alias}") for alias in gone]
    return lines


def _left_behind(here: Store) -> Lines:
    from handrail.store.sweeping import size_bytes

    found = here.left_behind()
    if not found:
        return []
    what = counted(len(found), "draft or run", "drafts and runs")
    said = f"{what}, {size_words(size_bytes(found))}: the old ones go when a model is saved"
    return [("–", "unfinished", said)]


def _bases(home: Path) -> Lines:
    try:
        from handrail.catalog.entries import DECODERS, ENTRIES
        from handrail.catalog.fetch import has_decoder, is_cached
    except ImportError:
        return []
    said = {True: ("✓", "at hand"), False: ("–", "fetched when first needed")}
    at_hand = {name: said[is_cached(name, home / "bases")] for name in ENTRIES}
    at_hand |= {name: said[has_decoder(entry, home / "bases")] for name, entry in DECODERS.items()}
    return [(mark, f"base {name}", text) for name, (mark, text) in at_hand.items()]


def _as_dict(line: tuple[str, str, str]) -> dict[str, Any]:
    mark, what, said = line
    return {"what": what, "ok": {"✓": True, "✗": False}.get(mark), "said": said}
