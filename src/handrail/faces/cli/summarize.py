"""`handrail summarize`: the sentences that say most of a text, or what a language model says of it."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, shared, whole
from handrail.faces.cli.printing import put, put_json, say

MOST_STDIN_BYTES = 512 * 2**20


def ratio(option: str, text: str) -> float:
    """A share above 0 and up to 1."""
    if re.fullmatch(r"(?:0?\.\d{1,9}|1(?:\.0+)?)", text.strip(), re.ASCII) is None or not float(text) > 0:
        problem = f"{option} must be more than 0 and up to 1, received '{text[:60]}'"
        raise HandrailError("usage", problem, f"for example {option} 0.2", field="ratio")
    return float(text)


def language_code(option: str, text: str) -> str:
    """A code as in `sentences`."""
    if re.fullmatch(r"[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*", text) is None:
        problem = f"{option} must be the code of a language, received '{text[:60]}'"
        raise HandrailError("usage", problem, f"for example {option} de", field=option.strip("-"))
    return text


@click.command("summarize", epilog="Example: handrail summarize report.txt --sentences 3")
@click.argument("file")
@once("--ratio", read=ratio, metavar="SHARE", help="The share of sentences to keep (default: 0.2).")
@once("--sentences", read=whole(1, 10_000, "3"), metavar="N", help="How many sentences to keep; wins over --ratio.")
@once("--min-length", read=whole(0, 100_000, "40"), metavar="N", help="Leave out those of N characters or fewer (40).")
@once(
    "--max-length", read=whole(1, 1_000_000, "600"), metavar="N", help="Leave out those of N characters or more (600)."
)
@click.option("--no-first", is_flag=True, help="Do not keep the first sentence as a matter of course.")
@click.option("--gmm", is_flag=True, help="Group sentences by a mixture of normal distributions, not by k-means.")
@once("--language", read=language_code, metavar="CODE", help="The text's language: de, fr, ja … (default: en).")
@once("--base", metavar="NAME", help="What gives sentences their meaning (default: minilm).")
@click.option(
    "--method",
    type=click.Choice(["extractive", "abstractive"]),
    default="extractive",
    show_default=True,
    help="Sentences as they stand, or a language model's own words.",
)
@once("--writer", metavar="NAME", help="The model whose words those are (default: smollm2).")
@shared
def command(
    file: str, ratio: float | None, sentences: int | None, min_length: int | None, max_length: int | None,
    no_first: bool, gmm: bool, language: str | None, base: str | None, method: str, writer: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Summarise the text in FILE (- is standard input): its most telling sentences, in their order, as they stand; or,
    with --method abstractive, what a language model says of it. A small model may get things wrong."""
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.language.embedder import BASE
    from handrail.language.summarizer import Summarizer

    text = text_in(file)
    if method == "abstractive":
        _make_ready(writer)
    model = Summarizer(base or BASE, method=method, writer=writer, language=language or "en", tell=tell_plainly)
    given = {"ratio": ratio, "num_sentences": sentences, "min_length": min_length, "max_length": max_length}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    found = model(text, use_first=not no_first, algorithm="gmm" if gmm else "kmeans", return_as_list=True, **options)
    if as_json:
        put_json({"summary": " ".join(found), "sentences": found, "method": model.method})
    else:
        put(" ".join(found))


def _make_ready(writer: str | None) -> None:
    """Gets a base that is not among the models yet. Where it cannot be had, that is said, and the summarizer says what
    it does instead."""
    from handrail.catalog.entries import DECODERS
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.language.abstracts import WRITER
    from handrail.store import Store
    from handrail.training.importing import import_decoder

    name = writer or WRITER
    if name in DECODERS and name not in Store().names():
        try:
            import_decoder(name, tell=tell_plainly)
        except HandrailError as error:
            say(f"{name} cannot be had: {error.problem}")


def text_in(file: str) -> str:
    """The text of a file, or of standard input for -."""
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.language.texts import decoded_text, read_text

    if file == "-":
        content = sys.stdin.buffer.read(MOST_STDIN_BYTES + 1)
        if len(content) > MOST_STDIN_BYTES:
            problem = f"more than {MOST_STDIN_BYTES // 2**20} MB on stdin"
            raise HandrailError("too_large", problem, "give the text as a file", where="stdin")
        return decoded_text(content, "stdin", tell_plainly)
    return read_text(file, tell_plainly)
