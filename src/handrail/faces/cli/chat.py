"""`handrail chat`: a talk in the terminal, or in a pipe, with history, a system prompt, and answers that stream."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError, counted, did_you_mean
from handrail.faces.cli.options import once, shared
from handrail.faces.cli.printing import put, say
from handrail.faces.cli.writing import opened_writer, say_end, settings_of, settings_options, write_pieces

if TYPE_CHECKING:
    from handrail.model import Model

COMMANDS = {
    "/help": "show these words",
    "/reset": "begin anew, with the same system prompt",
    "/system": "TEXT  say who the model is, and begin anew",
    "/save": "FILE  keep the talk as JSON",
    "/quit": "leave (Ctrl-D does, too)",
}
MOST_SAVED_BYTES = 64 * 2**20
# Tokens that are left for an answer where --max-tokens says nothing.
ANSWER_TOKENS = 256


@click.command("chat", epilog='Example: handrail chat smollm2 --system "You answer in one sentence."')
@click.argument("name", required=False)
@once("--system", metavar="TEXT", help="Who the model is and how it should answer.")
@once("--save", metavar="FILE", help="Keep the talk in FILE after each answer; one that is there already goes on.")
@settings_options
@shared
def command(name: str | None, system: str | None, save: str | None, as_json: bool, **given: Any) -> None:
    """Talk with the model NAME. It remembers what was said until its window is full; then the oldest messages are left
    out, and that is said. Ctrl-C ends an answer, /help shows what else there is. In a pipe, each line is a message."""
    model = opened_writer(name, "chat")
    settings = settings_of(given)
    model.writer.settings(settings, chats=True)
    talk = Talk(model, settings, system, None if save is None else Path(save))
    if model.writer.chat.is_plain:
        say("! this model was not taught to chat: it gets a plain transcript, and may talk for both sides")
    if sys.stdin.isatty():
        say(f"{model.name}: /help shows the commands, /quit leaves")
    while (line := _line()) is not None:
        if not talk.take(line):
            break
    if as_json:
        put(json.dumps({"model": model.name, "messages": talk.messages}, ensure_ascii=False))


class Talk:
    """The messages so far and what is done with a line. `save` is the file that they are kept in."""

    def __init__(self, model: Model, settings: dict[str, Any], system: str | None, save: Path | None) -> None:
        self._model, self._settings, self._save = model, settings, save
        self.messages = read_talk(save) if save is not None and save.exists() else []
        if self.messages:
            say(f"going on with {counted(len(self.messages), 'message')} of {save}")
        if system is not None:
            self._set_system(system)

    def take(self, line: str) -> bool:
        """Does what a line says; False where that is to leave."""
        word, _, rest = line.strip().partition(" ")
        if not word.startswith("/") or word.startswith("//"):
            if line.strip():
                self._answer(line)
            return True
        if word == "/quit":
            return False
        if word == "/help":
            say("\n".join(f"{name}  {text}" for name, text in COMMANDS.items()))
        elif word == "/reset":
            self.messages = [message for message in self.messages if message["role"] == "system"]
            say("the talk begins anew")
        elif word == "/system" and rest.strip():
            self.messages = []
            self._set_system(rest.strip())
            say("the talk begins anew, with this system prompt")
        elif word == "/save" and rest.strip():
            self._keep(Path(rest.strip()))
        else:
            missing = f"{word} needs a word more" if word in COMMANDS else f"no command is called {word[:40]}"
            say(f"{missing}.{did_you_mean(word, COMMANDS) if word not in COMMANDS else ''} /help shows them all")
        return True

    def _answer(self, line: str) -> None:
        self.messages.append({"role": "user", "content": line.removeprefix("/") if line.startswith("//") else line})
        try:
            said, last = write_pieces(self._model.stream(self._fitting(), **self._settings))
        except HandrailError as error:
            self.messages.pop()
            say(f"error: {error.problem}\nhint: {error.mend}")
            return
        put()
        if last is None or last.finish == "length" or (last.usage is not None and last.usage.slid_tokens):
            say_end(last)
        self.messages.append({"role": "assistant", "content": said.strip()})
        if self._save is not None:
            self._keep(self._save, quiet=True)

    def _fitting(self) -> list[dict[str, str]]:
        """The messages, without the oldest where the window would not hold them and an answer."""
        writer = self._model.writer
        room = writer.window - min(self._settings.get("max_tokens", ANSWER_TOKENS), writer.window // 2)
        first = [message for message in self.messages[:1] if message["role"] == "system"]
        rest = self.messages[len(first) :]
        left = 0
        while len(rest) > 1 and len(writer.chat_tokens([*first, *rest])) > room:
            # A question goes with its answer: templates want the two in turn.
            step = 2 if len(rest) > 2 else 1
            rest, left = rest[step:], left + step
        if left:
            say(f"! the talk is longer than the window of {writer.window:,} tokens: "
                f"{'the oldest message is' if left == 1 else f'the {left} oldest messages are'} left out")  # fmt: skip
        return [*first, *rest]

    def _set_system(self, text: str) -> None:
        rest = [message for message in self.messages if message["role"] != "system"]
        self.messages = [{"role": "system", "content": text}, *rest]

    def _keep(self, path: Path, *, quiet: bool = False) -> None:
        from handrail.core.files import write_text

        try:
            write_text(path, json.dumps(self.messages, ensure_ascii=False, indent=1) + "\n")
        except HandrailError as error:
            say(f"error: {error.problem} ({error.where})\nhint: {error.mend}")
            return
        if not quiet:
            say(f"kept {counted(len(self.messages), 'message')} in {path}")


def read_talk(path: Path) -> list[dict[str, str]]:
    """The messages of a file that `--save` or /save has written. Raises HandrailError ("data") for anything else."""
    from handrail.core.files import read_limited

    try:
        found = json.loads(read_limited(path, MOST_SAVED_BYTES))
        if not isinstance(found, list) or not all(
            isinstance(message, dict) and set(message) == {"role", "content"}
            and all(isinstance(text, str) for text in message.values())
            for message in found
        ):  # fmt: skip
            raise ValueError("it is no list of messages")
    except (ValueError, RecursionError) as error:
        problem = f"this is no talk that was saved: {str(error)[:120]}"
        raise HandrailError("data", problem, "give --save the name of a new file", where=str(path)) from error
    return found


def _line() -> str | None:
    """The next line of standard input, None at its end; Ctrl-C while it is waited for leaves, too."""
    try:
        if sys.stdin.isatty():
            import readline  # noqa: F401 - gives input() history and editing

            return input("> ")
        line = sys.stdin.readline()
    except (EOFError, KeyboardInterrupt):
        say("")
        return None
    return line.rstrip("\n") if line else None
