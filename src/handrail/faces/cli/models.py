"""`handrail models`: list, show, rename, alias and remove models."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError, closest, listed
from handrail.faces.cli.options import opened, opened_store, shared
from handrail.faces.cli.printing import put, put_heading, put_json, put_table, size_words

if TYPE_CHECKING:
    from handrail.core.field import Field


class Words(click.Group):
    """The words of `models`; one that is none is named with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            near = closest(args[0], self.commands)
            said = f"; did you mean '{near}'?" if near else ""
            problem = f"unknown command 'models {args[0][:60]}'{said}"
            raise HandrailError("usage", problem, f"the commands: {listed(self.commands)}")
        return super().resolve_command(ctx, args)


@click.group("models", cls=Words, invoke_without_command=True, epilog="Example: handrail models show reviews@2")
@shared
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List, show, rename, alias and remove models. Without another word: list."""
    if context.invoked_subcommand is None:
        put_models(as_json)
    elif as_json:
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


@command.command("list", epilog="Example: handrail models list --json")
@shared
def list_models(as_json: bool) -> None:
    """List every version of every model."""
    put_models(as_json)


def put_models(as_json: bool) -> None:
    """All models, newest version first."""
    store = opened_store()
    entries = store.models()
    if as_json:
        put_json({"home": str(store.home), "models": [entry.as_dict() for entry in entries]})
        return
    if not entries:
        put("no models yet: handrail train FILE makes one")
        return
    rows = [
        (f"{one.name}@{one.version}", one.task, ", ".join(one.aliases) or "–", size_words(one.bytes),
         time.strftime("%Y-%m-%d %H:%M", time.localtime(one.created)))
        for one in entries
    ]  # fmt: skip
    put_table([("model", "task", "aliases", "size", "made"), *rows], header=True)


@command.command("show", epilog="Example: handrail models show reviews@2")
@click.argument("name")
@shared
def show(name: str, as_json: bool) -> None:
    """Show what goes into a model, what comes out, and what it was made from."""
    model = opened(name)
    manifest = model.manifest
    if as_json:
        shown = manifest.as_dict()
        put_json({"name": model.name, "version": model.version, "path": str(model.bundle.path), "manifest": shown})
        return
    output = manifest.signature.output
    put(f"{model.name}@{model.version}: {manifest.task}" if model.version else f"{model.name}: {manifest.task}")
    put_heading("goes in")
    put_table([(f"  {field.name}", field.kind, _range(field)) for field in manifest.signature.inputs])
    put_heading("comes out")
    put_table([(f"  {output.name}", output.kind, listed(output.labels))])
    if model.writes:
        from handrail.faces.cli.imports import put_made

        put_heading("writes")
        put_made(model)
    put_heading("made from")
    versions = ", ".join(f"{package} {version}" for package, version in manifest.versions.items())
    rows, source = str(manifest.data.get("rows", "–")), str(manifest.data.get("source", "–"))
    put_table([("  rows", rows), ("  file", source), ("  seed", str(manifest.seed)), ("  with", versions)])
    put_heading("files")
    put_table([(f"  {member}", size_words(item["bytes"])) for member, item in manifest.files.items()])
    put(f"  in {model.bundle.path}")


@command.command("rename", epilog="Example: handrail models rename reviews opinions")
@click.argument("old")
@click.argument("new")
@shared
def rename(old: str, new: str, as_json: bool) -> None:
    """Give a model, with all its versions and aliases, another name."""
    from handrail.store import check_name

    check_name(old)
    opened_store().rename(old, new)
    _done(as_json, {"old": old, "new": new}, f"'{old}' is now called '{new}'")


@command.command("alias", epilog="Example: handrail models alias reviews@2 production")
@click.argument("name")
@click.argument("alias")
@shared
def alias(name: str, alias: str, as_json: bool) -> None:
    """Point NAME@ALIAS at a version: the newest, or the one in NAME@2."""
    from handrail.store import split_reference

    model, version = split_reference(name)
    number = opened_store().alias(model, alias, version)
    _done(as_json, {"name": model, "alias": alias, "version": number}, f"{model}@{alias} is {model}@{number}")


@command.command("unalias", epilog="Example: handrail models unalias reviews production")
@click.argument("name")
@click.argument("alias")
@shared
def unalias(name: str, alias: str, as_json: bool) -> None:
    """Take an alias away; the version stays."""
    from handrail.store import check_name

    opened_store().unalias(check_name(name), alias)
    _done(as_json, {"name": name, "alias": alias}, f"'{name}' has no alias '{alias}' any more")


@command.command("remove", epilog="Example: handrail models remove reviews@2 --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def remove(name: str, yes: bool, as_json: bool) -> None:
    """Remove one version (NAME@2), or a model with all its versions (NAME)."""
    from handrail.store import split_reference

    store = opened_store()
    store.find(name)
    model, version = split_reference(name)
    what = f"{model}@{version}" if version else f"{model} with {len(store.versions(model))} version(s)"
    if not yes and not _agreed(what):
        raise HandrailError("usage", f"{what} was not removed", f"handrail models remove {name} --yes")
    removed = store.remove(name)
    _done(as_json, {"name": model, "removed": removed}, f"removed {model}, version {listed(map(str, removed))}")


def _agreed(what: str) -> bool:
    return sys.stdin.isatty() and click.confirm(f"Remove {what}?", err=True)


def _done(as_json: bool, value: dict[str, Any], text: str) -> None:
    if as_json:
        put_json(value)
    else:
        put(text)


def _range(field: Field) -> str:
    """What training saw of a field."""
    optional = "may be missing" if field.optional else ""
    if field.kind == "number" and field.minimum is not None and field.maximum is not None:
        seen = f"{field.minimum:,.6g} to {field.maximum:,.6g}"
    else:
        seen = listed(field.choices, 6)
    return "; ".join(part for part in (seen, optional) if part)
