"""`handrail search`: documents made searchable, and what a question finds in them."""

from __future__ import annotations

from typing import Any

import click

from handrail.core.errors import HandrailError, counted
from handrail.faces.cli.options import once, reference_of, shared, whole
from handrail.faces.cli.printing import put, put_json
from handrail.faces.cli.summarize import language_code

LONGEST_SHOWN = 300
ASK = "ask"


class Words(click.Group):
    """The words of `search`; a name that is none of them is a search to ask."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = [ASK, *args]
        return super().resolve_command(ctx, args)


@click.group("search", cls=Words, epilog='Example: handrail search guides "How do I go back?"')
@shared
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Search documents by what they mean. A word that is no command is the name of a search to ask."""
    if as_json:
        context.default_map = {str(context.invoked_subcommand): {"as_json": True}}


@command.command("build", epilog="Example: handrail search build guides/ -o guides")
@click.argument("documents")
@once("-o", "--output", metavar="NAME", help="What the search is called; a name that is there gets a new version.")
@once("--language", read=language_code, metavar="CODE", help="The documents' language: de, fr, ja … (default: en).")
@once("--base", metavar="NAME", help="What gives passages their meaning (default: minilm).")
@shared
def build(documents: str, output: str | None, language: str | None, base: str | None, as_json: bool) -> None:
    """Make DOCUMENTS searchable: a folder of texts, one text, or rows (CSV, JSON lines …) with a column "text"; what
    other columns hold is kept beside it."""
    from handrail.faces.cli.drawing import drawn
    from handrail.language.embedder import BASE
    from handrail.language.search import Search

    if output is None:
        raise HandrailError("usage", "the search has no name", "give it one: -o NAME", field="output")
    with drawn() as tell:
        made = Search.build(documents, name=output, language=language or "en", base=base or BASE, tell=tell)
    passages = len(made.library.passages)
    if as_json:
        put_json({"model": f"{made.name}@{made.version}", "documents": len(made), "passages": passages})
        return
    put(f"{made.name}@{made.version}: {counted(len(made), 'document')}, {counted(passages, 'passage')}")
    put(f'next: handrail search {made.name} "a question"')


@command.command(ASK, epilog='Example: handrail search ask guides "How do I go back?" -k 3')
@click.argument("name")
@click.argument("question")
@once("-k", "--count", read=whole(1, 1_000, "5"), metavar="N", help="How many passages to show (default: 5).")
@shared
def ask(name: str, question: str, count: int | None, as_json: bool) -> None:
    """Show the passages of the search NAME that are nearest in meaning to QUESTION, best first."""
    from handrail.language.search import COUNT, Search

    search = Search.open(reference_of(name))
    found = search(question, k=count or COUNT)
    if as_json:
        put_json({"model": f"{search.name or name}", "matches": found})
        return
    for match in found:
        put_match(match)


def put_match(match: dict[str, Any]) -> None:
    """A passage with its score and the document that it is from."""
    text = " ".join(match["text"].split())
    put(f"{match['score']:.2f}  {match['document']}")
    put(f"      {text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + '…'}")
