"""Names, versions, aliases and runs: folders of bundles are the truth, one SQLite file remembers the rest."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handrail.core.bundle import MODEL_NAME, open_bundle, strict_json, to_json
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell, Warned, quiet
from handrail.core.files import disk_errors, drafted_folder, publish_folder, read_limited, remove_folder, write_bytes
from handrail.store.archive import read_archive, write_archive
from handrail.store.database import database_errors, open_database
from handrail.store.home import default_home, refuse_file
from handrail.store.runs import Run
from handrail.store.sweeping import left_behind, sweep

ALIASES = "aliases.json"
NUMBERS = "numbers.json"
DATABASE = "handrail.db"
MAX_JSON_BYTES = 2**20


@dataclass(frozen=True)
class ModelEntry:
    """One version of a model as `handrail models` lists it; `created` is seconds since 1970 (UTC)."""

    name: str
    version: int
    task: str
    aliases: tuple[str, ...]
    latest: bool
    bytes: int
    created: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Store:
    """Where models live: `HOME/models/<name>/<version>/`. Opening it writes nothing.

    It tells when it had to mend something: a database that was damaged, aliases that cannot be read.
    """

    def __init__(self, home: Path | None = None, *, tell: Tell = quiet) -> None:
        self.home = Path(home) if home is not None else default_home()
        self._tell = tell
        self.models_folder = self.home / "models"

    def find(self, reference: str) -> Path:
        """The folder of `name` (newest version), `name@3` or `name@alias`. Raises HandrailError ("not_found")."""
        name, version = split_reference(reference)
        versions = self.versions(name)
        if not versions:
            near = did_you_mean(name, self.names()).strip() or "handrail models lists what there is"
            raise HandrailError("not_found", f"no model is called '{name}'", near)
        if version is None:
            return self.models_folder / name / str(versions[-1])
        number = int(version) if re.fullmatch(r"\d{1,9}", version) else self.aliases(name).get(version)
        if number not in versions:
            raise self._no_version(name, version, number)
        return self.models_folder / name / str(number)

    def names(self) -> list[str]:
        """All model names, sorted. Raises HandrailError ("environment") where the home is a file."""
        refuse_file(self.home)
        if not self.models_folder.is_dir():
            return []
        found = (item.name for item in self.models_folder.iterdir() if MODEL_NAME.fullmatch(item.name))
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """The version numbers of a model, oldest first; empty when there is none."""
        folder = self.models_folder / name
        if not folder.is_dir():
            return []
        return sorted(int(item.name) for item in folder.iterdir() if re.fullmatch(r"[1-9]\d{0,8}", item.name))

    def aliases(self, name: str) -> dict[str, int]:
        """alias → version number."""
        path = self.models_folder / name / ALIASES
        if not path.is_file():
            return {}
        try:
            return _numbers_in(path)
        except HandrailError as error:
            problem = f"the aliases of '{name}' cannot be read: {error.problem}"
            mend = f"remove that file; the versions stay: handrail models alias {name}@N ALIAS sets an alias again"
            raise HandrailError("bundle", problem, mend, where=str(path)) from error

    def models(self) -> list[ModelEntry]:
        """Every version of every model, by name, newest first. A damaged bundle is listed with the task "damaged"."""
        entries = []
        for name in self.names():
            versions = self.versions(name)
            aliases = self._readable_aliases(name)
            for version in reversed(versions):
                named = tuple(sorted(alias for alias, number in aliases.items() if number == version))
                entries.append(self._entry(name, version, named, latest=version == versions[-1]))
        return entries

    def publish(self, draft: Path, name: str) -> Path:
        """Makes a finished draft the next version of `name` and returns its folder. Numbers are never used twice."""
        check_name(name)
        with self._locked() as database:
            version = self._highest(database, name) + 1
            final = self.models_folder / name / str(version)
            publish_folder(draft, final)
            database.execute("insert or replace into versions values (?, ?, ?)", (name, version, time.time()))
        return final

    def draft(self) -> contextlib.AbstractContextManager[Path]:
        """A folder on the same disk to build a bundle in; it disappears unless it was published.

        What killed commands left behind is swept away here.
        """
        sweep(self.home)
        return drafted_folder(self.models_folder)

    def rename(self, old: str, new: str) -> None:
        """Gives a model, with all its versions and aliases, another name."""
        check_name(new)
        self.find(old)
        with self._locked() as database:
            if (self.models_folder / new).exists():
                raise HandrailError("conflict", f"'{new}' exists already", "choose another name, or remove that one")
            highest = self._highest(database, old)
            self._remember({old: highest, new: max(highest, self._highest(database, new))})
            with disk_errors(self.models_folder / new):
                (self.models_folder / old).rename(self.models_folder / new)
            copied = "insert or ignore into versions select ?, version, created from versions where name = ?"
            database.execute(copied, (new, old))

    def alias(self, name: str, alias: str, version: int | str | None = None) -> int:
        """Points `name@alias` at a version (the newest by default) and returns its number."""
        check_name(alias)
        if re.fullmatch(r"\d+", alias):
            raise HandrailError("usage", f"an alias must not be a number, received '{alias}'", "use a word: production")
        number = int(self.find(name if version is None else f"{name}@{version}").name)
        with self._locked():
            self._write_aliases(name, {**self.aliases(name), alias: number})
        return number

    def unalias(self, name: str, alias: str) -> None:
        """Takes an alias away; the version stays."""
        self.find(name)
        with self._locked():
            aliases = self.aliases(name)
            if alias not in aliases:
                raise HandrailError(
                    "not_found", f"'{name}' has no alias '{alias}'", f"it has {listed(aliases) or 'none'}"
                )
            self._write_aliases(name, {key: number for key, number in aliases.items() if key != alias})

    def remove(self, reference: str) -> list[int]:
        """Removes one version (`name@3`), or the model with all of them (`name`); returns the numbers removed."""
        name, version = split_reference(reference)
        path = self.find(reference)
        with self._locked_unless_full() as database:
            whole = version is None or self.versions(name) == [int(path.name)]
            removed = self.versions(name) if whole else [int(path.name)]
            aliases = {} if whole else self.aliases(name)
            highest = self._highest(database, name)
            _take_away(self.models_folder / name if whole else path)
            self._remember({name: highest})
            kept = {alias: number for alias, number in aliases.items() if number not in removed}
            if kept != aliases:
                self._write_aliases(name, kept)
        return removed

    def export(self, reference: str, archive: Path) -> Path:
        """Writes a version as one file that `import_archive` reads; every member is hashed on the way."""
        write_archive(open_bundle(self.find(reference)), archive)
        return archive

    def import_archive(
        self, archive: Path, name: str | None = None, *, approve: Callable[[Path], object] | None = None
    ) -> ModelEntry:
        """Takes a model from an archive after every member was checked and `approve` did not object to its folder."""
        members = read_archive(archive)
        with self.draft() as draft:
            for member, content in members.items():
                write_bytes(draft / member, content)
            bundle = open_bundle(draft)
            for member in bundle.manifest.files:
                bundle.check(member)
            if approve is not None:
                approve(draft)
            final = self.publish(draft, name or bundle.manifest.name)
        return self._entry(final.parent.name, int(final.name), (), latest=True)

    def refuse_unwritable(self) -> None:
        """Raises HandrailError now rather than after an hour of work: a disk, a lock or a database that is off."""
        with self.draft(), self._locked():
            pass

    def left_behind(self) -> list[Path]:
        """Drafts and runs of commands that were killed, or that are at work now."""
        return left_behind(self.home)

    def run(self, key: str) -> Run:
        """The saved pieces of a training run with this key (see `train`)."""
        return Run(self.home / "runs" / key)

    def runs(self) -> list[dict[str, Any]]:
        """Finished trainings, newest first: name, version, seconds, when."""
        if not (self.home / DATABASE).exists():
            return []
        with self._locked() as database:
            rows = database.execute(
                "select name, version, seconds, finished from runs order by finished desc"
            ).fetchall()
        return [dict(zip(("name", "version", "seconds", "finished"), row, strict=True)) for row in rows]

    def record_run(self, name: str, version: int, seconds: float) -> None:
        """Remembers how long a training took; bundles carry no times, so that equal work gives equal bytes."""
        with self._locked() as database:
            database.execute("insert into runs values (?, ?, ?, ?)", (name, version, seconds, time.time()))

    def rebuild(self) -> int:
        """Makes the database anew from the bundles; returns how many versions there are."""
        with self._locked() as database:
            return self._refilled(database)

    def _entry(self, name: str, version: int, aliases: tuple[str, ...], *, latest: bool) -> ModelEntry:
        folder = self.models_folder / name / str(version)
        try:
            manifest = open_bundle(folder).manifest
            task, size = manifest.task, sum(item["bytes"] for item in manifest.files.values())
        except HandrailError:
            task, size = "damaged", 0
        return ModelEntry(name, version, task, aliases, latest, size, folder.stat().st_mtime)

    def _no_version(self, name: str, version: str, number: int | None) -> HandrailError:
        if number is not None and not version.isdigit():
            problem = f"'{name}@{version}' leads to version {number}, which is not there"
            return HandrailError(
                "not_found", problem, f"handrail models alias {name} {version} points it at the newest"
            )
        there = self.versions(name)
        aliases = [alias for alias, led in self._readable_aliases(name).items() if led in there]
        known = listed([*map(str, there), *aliases])
        return HandrailError("not_found", f"'{name}' has no version '{version}'", f"it has {known}")

    def _readable_aliases(self, name: str) -> dict[str, int]:
        """The aliases, or none and a warning: one broken file must not hide every model."""
        try:
            return self.aliases(name)
        except HandrailError as error:
            self._tell(Warned(f"{error.problem} ({error.where}): {error.mend}"))
            return {}

    def _highest(self, database: sqlite3.Connection | None, name: str) -> int:
        """The highest number that a version of this name ever had, 0 where there was none."""
        found = [0, *self.versions(name)]
        with contextlib.suppress(HandrailError):
            found.append(_numbers_in(self.home / NUMBERS).get(name, 0))
        if database is not None:
            (highest,) = database.execute("select max(version) from versions where name = ?", (name,)).fetchone()
            found.append(highest or 0)
        return max(found)

    def _remember(self, numbers: dict[str, int]) -> None:
        """Keeps numbers of versions that go, so that they are not used again even when the database goes, too."""
        known: dict[str, int] = {}
        with contextlib.suppress(HandrailError):
            known = _numbers_in(self.home / NUMBERS)
        write_bytes(self.home / NUMBERS, to_json({**known, **numbers}))

    def _write_aliases(self, name: str, aliases: dict[str, int]) -> None:
        write_bytes(self.models_folder / name / ALIASES, to_json(aliases))

    def _refilled(self, database: sqlite3.Connection) -> int:
        found = [(name, version) for name in self.names() for version in self.versions(name)]
        database.execute("delete from versions")
        for name, version in found:
            created = (self.models_folder / name / str(version)).stat().st_mtime
            database.execute("insert into versions values (?, ?, ?)", (name, version, created))
        return len(found)

    def _mended(self, database: sqlite3.Connection) -> None:
        count = self._refilled(database)
        versions = "1 version" if count == 1 else f"{count:,} versions"
        self._tell(
            Warned(f"the database was damaged: it was made anew from {versions}, and kept as {DATABASE}.damaged")
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """The database inside one write transaction: two acts on a store come one after the other."""
        path = self.home / DATABASE
        with contextlib.closing(open_database(path, self._mended)) as database, database_errors(path):
            database.execute("begin immediate")
            yield database
            database.execute("commit")

    @contextlib.contextmanager
    def _locked_unless_full(self) -> Iterator[sqlite3.Connection | None]:
        """`_locked`, or None where there is no space even for that: freeing space must not need any."""
        with contextlib.ExitStack() as stack:
            database = None
            try:
                database = stack.enter_context(self._locked())
            except HandrailError as error:
                if error.code != "environment":
                    raise
            yield database


def split_reference(reference: str) -> tuple[str, str | None]:
    """`name@version` in two. Raises HandrailError ("usage") when the name is none."""
    name, at, version = reference.partition("@")
    check_name(name)
    if at and re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", version) is None:
        raise HandrailError("usage", f"'{version[:80]}' is no version or alias", f"write {name}@3 or {name}@production")
    return name, version or None


def check_name(name: str) -> str:
    """`name`, if models may be called so. Raises HandrailError ("usage") that shows the pattern."""
    if MODEL_NAME.fullmatch(name) is None or name.endswith("."):
        shown = name if len(name) <= 80 else name[:79] + "…"
        raise HandrailError(
            "usage",
            f"a model cannot be called '{shown}'",
            "use 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit: reviews, churn-2024",
        )
    return name


def _numbers_in(path: Path) -> dict[str, int]:
    """word → number, as aliases are kept. Raises HandrailError where the file is not that."""
    found = strict_json(read_limited(path, MAX_JSON_BYTES), path, path.name)
    if not isinstance(found, dict):
        raise HandrailError("bundle", f"{path.name} is not an object", f"remove {path.name} there", where=str(path))
    return {word: number for word, number in found.items() if type(number) is int}


def _take_away(folder: Path) -> None:
    """Name first, content second; on a disk too full for that, content at once."""
    try:
        remove_folder(folder)
    except HandrailError as error:
        if error.code != "environment":
            raise
        with disk_errors(folder):
            shutil.rmtree(folder)
