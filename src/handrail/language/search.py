"""Search by meaning: documents cut into passages, and the passages that mean what a question asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail import __version__
from handrail.core.bundle import Bundle, Manifest, open_bundle, to_json, write_bundle
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Progress, Said, Tell, quiet
from handrail.core.field import Field
from handrail.core.processors import processors
from handrail.core.signature import Output, Signature
from handrail.language.documents import documents_of
from handrail.language.embedder import BASE
from handrail.language.encoder import Encoder, Source, encoder, of_bundle, source
from handrail.language.extracts import whole_number
from handrail.language.passages import passages
from handrail.language.texts import text_of, texts_of
from handrail.model import load
from handrail.store import Store, check_name, split_reference
from handrail.tasks.search.library import Document, Library, files_of, library_of
from handrail.tasks.search.nearest import EXACT_ROWS, Nearest, draw_index
from handrail.tasks.search.predict import matches

COUNT: Final = 5
# How many a served search gives at most.
SERVED: Final = 20
TOGETHER: Final = 512
EXAMPLES: Final = 3

Match = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """Where a search came from, and how it was made."""

    source: Source
    language: str
    home: Path
    threads: int
    tell: Tell


class Search:
    """`Search.build(documents)("a question")` gives the passages nearest in meaning, best first:
    `{"text", "score", "document", "start", "metadata"}`; the score is the cosine, 1 at most."""

    def __init__(
        self, library: Library, encoder: Encoder, origin: Origin, name: str | None = None, version: int | None = None
    ) -> None:
        """Made by `build` and `open`."""
        self.library = library
        self.name = name
        self.version = version
        self._encoder = encoder
        self._origin = origin
        self._nearest = Nearest(library.vectors, origin.home)

    @classmethod
    def build(
        cls, documents: object, *, name: str | None = None, base: str = BASE, language: str = "en",
        threads: int | None = None, home: Path | None = None, tell: Tell = quiet,
    ) -> Search:  # fmt: skip
        """A search of texts, of rows with a "text" and more (kept as metadata; "id" names the document), of a file or
        of a folder. With a name it is saved as the next version of it, and `handrail serve NAME` answers.

        Raises HandrailError ("usage", "data") that says which document is off.
        """
        if name is not None:
            check_name(name)
        found = documents_of(documents, tell)
        store = Store(home)
        used = threads or processors()
        reader = encoder(base, threads=used, home=home, tell=tell)
        origin = Origin(source(base, store.home), language, store.home, used, tell)
        search = cls(_library(found, reader, origin), reader, origin)
        return search if name is None else search.save(name)

    @classmethod
    def open(
        cls, reference: str | Path, *, threads: int | None = None, home: Path | None = None, tell: Tell = quiet
    ) -> Search:
        """The search saved as `name`, `name@3` or `name@alias`, or the one in a bundle's folder."""
        store = Store(home)
        is_folder = isinstance(reference, Path) or "/" in reference or reference.startswith(".")
        path = Path(reference) if is_folder else store.find(str(reference))
        bundle = open_bundle(path)
        if bundle.manifest.task != "search":
            problem = f"'{bundle.manifest.name}' is for {bundle.manifest.task}, not a search"
            raise HandrailError("usage", problem, "handrail search build DOCUMENTS -o NAME makes one")
        return cls._of(bundle, store.home, threads or processors(), tell, None if is_folder else str(reference))

    def __call__(self, question: str | Sequence[str], k: int = COUNT) -> Any:
        """The best `k` passages (fewer where there are fewer), best first; for a list of questions a list of these."""
        count = whole_number(k, "k", least=1)
        alone = isinstance(question, str)
        asked = [question] if isinstance(question, str) else texts_of(question, "question")
        texts = [text_of(text, "the question") for text in asked]
        found = matches(self.library, self._nearest, self._encoder.vectors(texts), count)
        return found[0] if alone else found

    def add(self, documents: object) -> Search:
        """The search with more documents: a new version where this one has a name. Those with an id that is there
        already take the place of the older ones."""
        more = documents_of(documents, self._origin.tell, first=self._next_number())
        kept = self.library.without(frozenset(document.id for document in more))
        return self._changed(kept.joined(_library(more, self._encoder, self._origin)))

    def remove(self, ids: str | Iterable[str]) -> Search:
        """The search without some documents: a new version where this one has a name.

        Raises HandrailError ("not_found") that names the id which is not there.
        """
        gone = frozenset([ids] if isinstance(ids, str) else map(str, ids))
        there = {document.id for document in self.library.documents}
        for one in sorted(gone - there):
            mend = did_you_mean(one, there).strip() or f"there are {listed(sorted(there))}"
            raise HandrailError("not_found", f"no document has the id '{one[:80]}'", mend)
        left = self.library.without(gone)
        if not left.documents:
            raise HandrailError(
                "usage", "nothing would be left to search", f"handrail models remove {self.name or 'NAME'}"
            )
        return self._changed(left)

    def save(self, name: str) -> Search:
        """The search as the next version of `name`, with the answers to a few questions to prove it by."""
        check_name(name)
        origin = self._origin
        store = Store(origin.home)
        self._draw()
        files = {**origin.source.files, **files_of(self.library), "report.json": to_json({})}
        rows = [{"text": self._sample(place)} for place in range(min(EXAMPLES, len(self.library.passages)))]
        with store.draft() as folder:
            write_bundle(folder, self._manifest(name), files)
            answers = load(folder).predict(rows)
            examples = [{"input": row, "answer": answer} for row, answer in zip(rows, answers, strict=True)]
            write_bundle(folder, self._manifest(name), {**files, "examples.json": to_json(examples)})
            load(folder).check()
            version = int(store.publish(folder, name).name)
        return Search(self.library, self._encoder, origin, name, version)

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.library.documents)

    def __repr__(self) -> str:
        name = f" {self.name}@{self.version}" if self.name else ""
        passages = f"{len(self.library.passages):,} passages of {len(self):,} documents"
        return f"<handrail.Search{name}: {passages}, {self._encoder.name}>"

    @classmethod
    def _of(cls, bundle: Bundle, home: Path, threads: int, tell: Tell, reference: str | None) -> Search:
        language = str(bundle.manifest.encode.get("language", "en"))
        origin = Origin(Source.of(bundle), language, home, threads, tell)
        name = None if reference is None else split_reference(reference)[0]
        version = None if reference is None else int(bundle.path.name)
        return cls(library_of(bundle), of_bundle(bundle, threads), origin, name, version)

    def _changed(self, library: Library) -> Search:
        search = Search(library, self._encoder, self._origin)
        return search if self.name is None else search.save(self.name)

    def _draw(self) -> None:
        """Above 100,000 passages an index, where its library is installed; it is told how much it finds."""
        origin, vectors = self._origin, self.library.vectors
        if len(vectors) <= EXACT_ROWS:
            return
        share = draw_index(vectors, origin.home, origin.threads)
        if share is None:
            origin.tell(
                Said(f"{len(vectors):,} passages are all looked at: pip install usearch draws an index of them")
            )
        else:
            origin.tell(Said(f"an index finds {share:.1%} of the ten nearest passages, measured"))

    def _manifest(self, name: str) -> Manifest:
        origin = self._origin
        example = self._sample(0)
        encode = {"longest": origin.source.longest, "matches": SERVED, "language": origin.language}
        return Manifest(
            name=name,
            task="search",
            signature=Signature(
                (Field("text", "text", example=example),), Output("vector", "vector", size=self._encoder.size)
            ),
            encode=encode,
            base=origin.source.base,
            data={"source": f"{len(self):,} documents", "trivial": []},
            versions={"handrail": __version__},
        )

    def _sample(self, place: int) -> str:
        text: str = self.library.match(place, 0)["text"]
        return " ".join(text.split())[:100]

    def _next_number(self) -> int:
        numbers = [int(document.id) for document in self.library.documents if document.id.isdecimal()]
        return max(numbers, default=0) + 1


def _library(documents: Sequence[Document], reader: Encoder, origin: Origin) -> Library:
    """Documents with their passages and the vectors of these."""
    rows = [
        (number, start, end)
        for number, document in enumerate(documents)
        for start, end in passages(document.text, origin.language)
    ]
    texts = [documents[number].text[start:end] for number, start, end in rows]
    vectors = np.empty((len(texts), reader.size), np.float32)
    for start in range(0, len(texts), TOGETHER):
        vectors[start : start + TOGETHER] = reader.vectors(texts[start : start + TOGETHER])
        origin.tell(Progress("reading passages", min(start + TOGETHER, len(texts)), len(texts)))
    return Library(tuple(documents), np.array(rows, np.int64).reshape(-1, 3), vectors)
