"""`handrail generate`: writes on from a prompt, streamed, or from each line of a file."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError, counted
from handrail.core.jsons import line_of
from handrail.faces.cli.options import once, shared, whole
from handrail.faces.cli.printing import put, put_json, safe, say
from handrail.faces.cli.writing import opened_writer, say_end, settings_of, settings_options, write_pieces

if TYPE_CHECKING:
    from handrail.generate.pieces import Piece
    from handrail.model import Model

BETWEEN = "=" * 20
# Prompts of a file that are continued together.
TOGETHER = 64
STOPPED = 130


@click.command("generate", epilog='Example: handrail generate smollm2 --prompt "Once upon a time" -n 3')
@click.argument("name", required=False)
@once("--prompt", metavar="TEXT", help="What to write on from (default: nothing, the beginning of a text).")
@once("--file", metavar="FILE", help="A prompt a line (- is standard input); writes JSON lines in their order.")
@once("-n", "--count", read=whole(1, 64, "3"), metavar="N", help="So many continuations of each prompt (default: 1).")
@click.option("--include-prompt", is_flag=True, help="Begin each text with its prompt.")
@once("--nfiles", read=whole(1, 10_000, "5"), metavar="N", help="Write N files of texts instead, into --folder.")
@once("--folder", metavar="FOLDER", help="Where --nfiles writes (default: gen). Nothing in it is replaced.")
@settings_options
@shared
def command(
    name: str | None, prompt: str | None, file: str | None, count: int | None, include_prompt: bool,
    nfiles: int | None, folder: str | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Write on from a prompt with the model NAME. The text comes to standard output while it is written; Ctrl-C ends
    it with what is there."""
    _refuse_both(prompt=prompt, file=file, nfiles=nfiles, folder=folder)
    model = opened_writer(name, "generate")
    settings = settings_of(given) | ({} if count is None else {"n": count})
    model.writer.settings(settings)
    if file is not None:
        _write_lines(model, file, settings, include_prompt=include_prompt)
    elif nfiles is not None:
        _write_files(model, prompt or "", settings, nfiles, Path(folder or "gen"), include_prompt=include_prompt)
    elif as_json:
        answers = model.predict([prompt or ""], **settings)[0]
        put_json({"model": _full_name(model), "prompt": prompt or "", "answers": _listed(answers)})
    else:
        _stream(model, prompt or "", settings, include_prompt=include_prompt)


def _refuse_both(*, prompt: str | None, file: str | None, nfiles: int | None, folder: str | None) -> None:
    """Raises HandrailError for options that exclude each other."""
    if file is not None and (prompt is not None or nfiles is not None):
        other = "prompt" if prompt is not None else "nfiles"
        raise HandrailError("usage", f"--file and --{other} exclude each other", "give one of them", field="file")
    if folder is not None and nfiles is None:
        raise HandrailError("usage", "--folder is where --nfiles writes", "add --nfiles 5", field="folder")


def _stream(model: Model, prompt: str, settings: dict[str, Any], *, include_prompt: bool) -> None:
    """The texts one after another, though all are written together: each comes as far as it is."""
    pieces = model.stream(prompt, **settings)
    count = settings.get("n", 1)
    for place, one in enumerate(in_turn(pieces, count)):
        if place:
            put(BETWEEN)
        sys.stdout.write(safe(prompt) if include_prompt else "")
        _, last = write_pieces(one)
        put()
        say_end(last)
        if last is None:
            pieces.close()  # type: ignore[attr-defined]
            raise click.exceptions.Exit(STOPPED)


def in_turn(pieces: Iterator[Piece], count: int) -> Iterator[Iterator[Piece]]:
    """For each of `count` continuations an iterator of its pieces; those of later ones are kept until their turn."""
    kept: list[list[Piece]] = [[] for _ in range(count)]

    def of(place: int) -> Iterator[Piece]:
        for piece in itertools.chain(iter(lambda: kept[place].pop(0) if kept[place] else None, None), pieces):
            if piece.index != place:
                kept[piece.index].append(piece)
                continue
            yield piece
            if piece.finish is not None:
                return

    return (of(place) for place in range(count))


def _write_lines(model: Model, file: str, settings: dict[str, Any], *, include_prompt: bool) -> None:
    from handrail.faces.cli.summarize import text_in

    prompts = [line for line in text_in(file).splitlines() if line.strip()]
    for start in range(0, len(prompts), TOGETHER):
        some = prompts[start : start + TOGETHER]
        for prompt, answers in zip(some, model.predict(some, **settings), strict=True):
            for answer in _listed(answers):
                text = prompt + answer["text"] if include_prompt else answer["text"]
                print(line_of({"prompt": prompt, **answer, "text": text}), flush=True)


def _write_files(
    model: Model, prompt: str, settings: dict[str, Any], count: int, folder: Path, *, include_prompt: bool
) -> None:
    """Files of texts under names that are free: nothing is replaced, nothing removed."""
    from handrail.core.files import write_text

    seed, front = settings.get("seed"), prompt if include_prompt else ""
    free = (path for number in itertools.count(1) if not (path := folder / f"{model.name}-{number:04d}.txt").exists())
    for place in range(count):
        # One seed names all the files together, so each of them has its own part of its chances.
        mine = settings | ({} if seed is None else {"seed": seed + place})
        texts = [front + answer["text"] for answer in _listed(model.predict([prompt], **mine)[0])]
        path = next(free)
        write_text(path, f"\n{BETWEEN}\n".join(texts) + "\n")
        put(str(path))
    say(f"wrote {counted(count, 'file')} to {folder}")


def _listed(answers: Any) -> list[dict[str, Any]]:
    return answers if isinstance(answers, list) else [answers]


def _full_name(model: Model) -> str:
    return f"{model.name}@{model.version}" if model.version else model.name
