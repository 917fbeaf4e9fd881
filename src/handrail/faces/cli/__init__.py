"""The command line: one file per verb, loaded when the verb is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import click

from handrail import __version__
from handrail.core.errors import HandrailError, closest, listed
from handrail.faces.cli import outcome

# Verb → its module and what `handrail --help` says of it: the list is drawn without loading a verb.
VERBS = {
    "train": ("train", "Learn from a file and save a scored model"),
    "finetune": ("finetune", "Teach a model that writes, with texts or conversations"),
    "look": ("look", "Show what train would decide, and why"),
    "predict": ("predict", "Answer a text, a row, a file or standard input"),
    "batch": ("batch", "Answer all rows of files, by several processes"),
    "generate": ("generate", "Write on from a prompt, streamed"),
    "chat": ("chat", "Talk with a model in the terminal"),
    "summarize": ("summarize", "Show the sentences that say most of a text"),
    "search": ("search", "Make documents searchable by meaning, and ask them"),
    "embed": ("embed", "Turn texts into vectors"),
    "explain": ("explain", "Show what moved one answer"),
    "report": ("report", "Show how good a model is, and how that is known"),
    "evaluate": ("evaluate", "Measure a model on other rows"),
    "deploy": ("deploy", "Answer over HTTP, from a model's name or a file"),
    "status": ("status", "Show how deployed APIs stand"),
    "logs": ("logs", "Show what an API's replicas write"),
    "monitor": ("monitor", "Show what an API answered, and how its inputs drift"),
    "scale": ("scale", "Say how many replicas an API has"),
    "traffic": ("traffic", "Say which version answers which part of the requests"),
    "promote": ("promote", "Let a canary take over"),
    "rollback": ("rollback", "Serve an API as it was before"),
    "refresh": ("refresh", "Replace an API's replicas by new ones"),
    "delete": ("delete", "End an API"),
    "run": ("run", "Run a task that is deployed, now"),
    "jobs": ("jobs", "List, show and cancel batches and runs of tasks"),
    "up": ("up", "Start what is deployed, now or with the machine"),
    "down": ("down", "End the engine and all that it serves"),
    "serve": ("serve", "Answer over HTTP"),
    "top": ("top", "Watch what a server does, live"),
    "client": ("client", "Write a typed client for a model, or a curl line"),
    "keys": ("keys", "Add, list and remove the keys that servers ask for"),
    "models": ("models", "List, show, rename, alias and remove models"),
    "check": ("check", "Verify a model and answer its examples again"),
    "export": ("export", "Write a model as one file"),
    "import": ("imports", "Take a model from an exported file"),
    "completion": ("completion", "Make a shell complete our words"),
    "doctor": ("doctor", "Show what is installed, what is missing, what to type"),
}
# The first verb of each section of that list, and what the section is called.
SECTIONS = {
    "train": "Models",
    "deploy": "APIs, in the background",
    "serve": "Servers, in this terminal",
    "models": "What is kept, and the rest",
}


class Verbs(click.Group):
    """The group of all verbs: knows them by name, loads them when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"handrail.faces.cli.{VERBS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            raise unknown_command(args[0], VERBS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = [*VERBS]
        starts = [*map(names.index, SECTIONS), len(names)]
        width = max(map(len, names))
        for title, start, end in zip(SECTIONS.values(), starts, starts[1:], strict=False):
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", VERBS[name][1]) for name in names[start:end]])


def unknown_command(word: str, known: Sequence[str] | dict[str, tuple[str, str]]) -> HandrailError:
    """The error for a verb that is none, with the nearest one."""
    near = closest(word, known)
    said = f"; did you mean '{near}'?" if near else ""
    shown = word if len(word) <= 60 else word[:59] + "…"
    return HandrailError("usage", f"unknown command '{shown}'{said}", f"the commands: {listed(known, 20)}")


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Models are kept in HANDRAIL_HOME. Every command takes --json and has its own --help.",
    invoke_without_command=True,
)
@click.version_option(__version__, message="handrail %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(context: click.Context, debug: bool) -> None:
    """From a file to a trained model, to an answer, to a prediction API, with one word each.

    \b
    handrail train reviews.csv
    handrail predict reviews "I loved it"
    handrail deploy reviews
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every verb with its full name, the words of `models` too: what the reference is written from."""
    context = click.Context(group)
    for name in VERBS:
        command = group.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {word}", inner) for word, inner in command.commands.items())


def carry_out(words: Sequence[str]) -> int:
    """Carries out a command line and returns its exit status. Never raises."""
    return outcome.of(lambda: group.make_context("handrail", list(words)), words)


def main() -> NoReturn:
    """The program `handrail`."""
    if "_HANDRAIL_COMPLETE" in os.environ:
        group.main(prog_name="handrail")
    status = outcome.with_streams() or carry_out(sys.argv[1:])
    outcome.leave(status)
