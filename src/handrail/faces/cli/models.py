"""handrail models: list, show, rename, alias and remove."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from handrail.faces.cli.drawing import json_option, print_json, say, table
from handrail.store import Store


@click.group("models", invoke_without_command=True, epilog="Example: handrail models alias reviews production 3",
             short_help="List, show, rename, alias and remove models")  # fmt: skip
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List, show, rename, alias and remove models. Versions are NAME@3, aliases NAME@production."""
    if context.invoked_subcommand is None:
        list_models(as_json)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all models and versions."""
    list_models(as_json)


def list_models(as_json: bool) -> None:
    entries = Store().models()
    if as_json:
        print_json({"models": [entry.as_dict() for entry in entries]})
        return
    if not entries:
        say("no models yet; begin with: handrail train FILE.csv")
        return
    rows = [("model", "task", "aliases", "size", "made")]
    for entry in entries:
        made = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%d %H:%M")
        size = f"{entry.bytes / 1e6:.1f} MB"
        rows.append((f"{entry.name}@{entry.version}", entry.task, ", ".join(entry.aliases), size, made))
    table(rows)


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what goes into a model, what comes out, and how it was made."""
    from handrail.model import load

    model = load(name)
    if as_json:
        print_json({"name": model.name, "version": model.version, "path": str(model.bundle.path),
                    "manifest": model.manifest.as_dict()})  # fmt: skip
        return
    output = model.signature.output
    say(f"{model.name}@{model.version}: {model.manifest.task}, predicts '{output.name}' ({output.kind})")
    rows = [("input", "kind", "may be missing", "for example")]
    rows += [(one.name, one.kind, "yes" if one.optional else "", str(one.sample())) for one in model.signature.inputs]
    table(rows)
    say(f"learnt from {model.manifest.data.get('rows', 0):,} rows; seed {model.manifest.seed}; {model.bundle.path}")


@command.command("rename")
@click.argument("old")
@click.argument("new")
@json_option
def rename(old: str, new: str, as_json: bool) -> None:
    """Give a model another name."""
    Store().rename(old, new)
    done({"name": new}, f"'{old}' is now called '{new}'", as_json)


@command.command("alias")
@click.argument("name")
@click.argument("alias")
@click.argument("version", required=False)
@json_option
def alias_command(name: str, alias: str, version: str | None, as_json: bool) -> None:
    """Point NAME@ALIAS at a version (the newest when none is given)."""
    number = Store().alias(name, alias, version)
    done({"name": name, "alias": alias, "version": number}, f"{name}@{alias} is version {number}", as_json)


@command.command("unalias")
@click.argument("name")
@click.argument("alias")
@json_option
def unalias(name: str, alias: str, as_json: bool) -> None:
    """Take an alias away; the version stays."""
    Store().unalias(name, alias)
    done({"name": name, "alias": alias}, f"{name}@{alias} is no more", as_json)


@command.command("remove")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove a version (NAME@3), or a model with all its versions (NAME)."""
    removed = Store().remove(name)
    done({"name": name, "removed": removed}, f"removed {name} (versions {', '.join(map(str, removed))})", as_json)


def done(value: dict[str, object], text: str, as_json: bool) -> None:
    """What was done, in JSON or in words."""
    if as_json:
        print_json(value)
    else:
        say(text)
