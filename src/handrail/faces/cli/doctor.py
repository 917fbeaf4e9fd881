"""handrail doctor: what is installed, what is missing, what to type."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import click

from handrail import __version__
from handrail.core.errors import HandrailError
from handrail.faces.cli.drawing import json_option, print_json, say, table

NEEDED = {
    "": ("numpy", "onnxruntime", "orjson", "uvicorn", "httptools", "click", "rich"),
    "train": ("scikit-learn", "lightgbm", "scipy", "onnx", "python-calamine"),
    "parquet": ("arro3-io",),
}


@click.command(
    "doctor", epilog="Example: handrail doctor", short_help="Say what is installed, what is missing, what to type"
)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Say what is installed, what is missing and what to type."""
    parts, health = packages(), store_health()
    found: dict[str, Any] = {"handrail": __version__, "python": platform.python_version(), "platform": platform.platform(terse=True),
             "cores": os.cpu_count(), "packages": parts, "store": health, "bases": bases()}  # fmt: skip
    healthy = health["ok"] and not parts[""]["missing"]
    if as_json:
        print_json({**found, "ok": healthy})
    else:
        show(found)
    if not healthy:
        context.exit(5)


def packages() -> dict[str, Any]:
    """For each extra, the versions of what is there and the names of what is missing."""
    return {extra: _versions(names) for extra, names in NEEDED.items()}


def _versions(names: tuple[str, ...]) -> dict[str, Any]:
    versions, missing = {}, []
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return {"versions": versions, "missing": missing}


def store_health() -> dict[str, Any]:
    """Where the store is, whether it may be written, what is in it, how much room there is."""
    from handrail.store import Store, free_bytes

    try:
        store = Store()
        folder = store.home
        while not folder.exists():
            folder = folder.parent
        writable = os.access(folder, os.W_OK | os.X_OK)
        damaged = [f"{entry.name}@{entry.version}" for entry in store.models() if entry.task == "damaged"]
        return {"home": str(store.home), "writable": writable, "models": len(store.models()), "damaged": damaged,
                "free_bytes": free_bytes(store.home), "ok": writable and not damaged}  # fmt: skip
    except HandrailError as error:
        return {"ok": False, "problem": error.problem, "mend": error.mend}


def bases() -> dict[str, bool]:
    """Which pretrained bases are at hand without the network."""
    from handrail.catalog.entries import ENTRIES
    from handrail.catalog.fetch import is_cached
    from handrail.store.home import default_home

    try:
        return {name: is_cached(name, default_home() / "bases") for name in ENTRIES}
    except HandrailError:
        return dict.fromkeys(ENTRIES, False)


def show(found: dict[str, Any]) -> None:
    """The same in words."""
    say(f"handrail {found['handrail']}, Python {found['python']}, {found['platform']}, {found['cores']} cores")
    rows = [("part", "state", "what to type")]
    for extra, state in found["packages"].items():
        mend = f'pip install "handrail[{extra}]"' if extra else "pip install handrail"
        missing = ", ".join(state["missing"])
        rows.append(
            (f"[{extra}]" if extra else "base", f"missing: {missing}" if missing else "ok", mend if missing else "")
        )
    health = found["store"]
    if "problem" in health:
        rows.append(("store", health["problem"], health["mend"]))
    else:
        state = f"{health['models']} models, {health['free_bytes'] / 1e9:.0f} GB free" + (
            "" if health["writable"] else ", not writable"
        )
        rows.append(("store", state, "" if health["writable"] else "set HANDRAIL_HOME to a folder you may write"))
        rows += [("", f"damaged: {name}", f"handrail models remove {name}") for name in health["damaged"]]
    for name, at_hand in found["bases"].items():
        rows.append((f"base {name}", "at hand" if at_hand else "fetched when first needed", ""))
    table(rows)
    say(f"Python at {sys.executable}; models at {health.get('home', 'nowhere')}")
