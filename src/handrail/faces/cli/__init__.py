"""The command line: one file per verb: parse, call, print."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from handrail.core.errors import HandrailError, did_you_mean

# verb → (file, what it does). A verb's file is opened when the verb is used, so that help is quick.
VERBS: Final[dict[str, tuple[str, str]]] = {
    "train": ("train", "Make a model of what is in a file"),
    "look": ("look", "Say what train would decide, and why"),
    "predict": ("predict", "Answer a text, a row, a file or stdin"),
    "explain": ("explain", "Say what moved one answer"),
    "report": ("report", "Say how good a model is, and how that is known"),
    "evaluate": ("evaluate", "Measure a model on other rows"),
    "serve": ("serve", "Answer over HTTP, with docs and a page to try"),
    "models": ("models", "List, show, rename, alias and remove models"),
    "check": ("check", "Check a model's hashes and answer its examples again"),
    "export": ("exporting", "Write a model as one file"),
    "import": ("importing", "Take a model from a file"),
    "doctor": ("doctor", "Say what is installed, what is missing, what to type"),
}
OUR_BUG: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


class Verbs(click.Group):
    """The verbs, each loaded from its file when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{VERBS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], VERBS).strip() or f"the commands: {', '.join(VERBS)}"
            raise HandrailError("usage", f"unknown command '{args[0]}'", hint)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: handrail train FILE.csv",
    invoke_without_command=True,
)
@click.version_option(package_name="handrail", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def handrail(context: click.Context, debug: bool) -> None:
    """From a file to a trained model, to an answer, to a prediction API, with one word each."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def commands() -> list[tuple[str, click.Command]]:
    """All verbs with their commands, for the docs."""
    context = click.Context(handrail)
    found = [(name, handrail.get_command(context, name)) for name in VERBS]
    return [(name, command) for name, command in found if command is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0, or the status of the error (see docs/reference/errors.md)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or bool(os.environ.get("HANDRAIL_DEBUG"))
    status = OUR_BUG
    try:
        status = _run(words, debug)
        sys.stdout.flush()
    except BrokenPipeError:
        status = BROKEN_PIPE
        _silence_stdout()
    except OSError as error:
        _say(f"error: cannot write the output: {error.strerror}\nhint: free some space, or write to another place")
        status = 5
        _silence_stdout()
    sys.exit(status)


def _run(words: list[str], debug: bool) -> int:
    try:
        found = handrail.main(words, prog_name="handrail", standalone_mode=False)
        return found if isinstance(found, int) else 0
    except HandrailError as error:
        return _told(error, words, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        return 2
    except click.ClickException as error:
        return _told(_as_usage(error), words, debug)
    except (KeyboardInterrupt, click.Abort):
        return _told(HandrailError("interrupted", "interrupted", "the same command goes on where it was"), words, debug)
    except (BrokenPipeError, click.exceptions.Exit) as error:
        if isinstance(error, click.exceptions.Exit):
            return error.exit_code
        raise
    except ModuleNotFoundError as error:
        return _told(_missing_extra(error), words, debug)
    except MemoryError:
        problem = HandrailError("environment", "out of memory", "train on fewer rows, or with --effort quick")
        return _told(problem, words, debug)
    except OSError:
        raise
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {str(error)[:300]}"
        problem = HandrailError("bug", f"this is our bug: {what}", "run it again with --debug and report what it shows")
        return _told(problem, words, debug)


def _told(error: HandrailError, words: list[str], debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    place = f" ({error.where})" if error.where else ""
    _say(f"error: {error.problem}{place}\nhint: {error.mend}")
    if "--json" in words:
        import json

        click.echo(json.dumps(error.as_dict(), ensure_ascii=False))
    return error.exit_status


def _as_usage(error: click.ClickException) -> HandrailError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "handrail"
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [name for option in context.command.params for name in option.opts]
        near = did_you_mean(error.option_name, known).strip()
        return HandrailError("usage", f"unknown option '{error.option_name}'", near or f"see {path} --help")
    return HandrailError("usage", message[:1].lower() + message[1:], f"see {path} --help")


def _missing_extra(error: ModuleNotFoundError) -> HandrailError:
    name = (error.name or "").split(".")[0]
    if name == "handrail":
        return HandrailError("bug", f"this is our bug: {error}", "report it")
    return HandrailError("environment", f"'{name}' is not installed", 'pip install "handrail[train]"')


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)


def _silence_stdout() -> None:
    """So that the interpreter's own last flush says nothing either."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
