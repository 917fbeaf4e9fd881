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
from handrail.core.files import disk_errors, drafted_folder, publish_folder, read_limited, remove_folder, write_bytes
from handrail.store.archive import read_archive, write_archive
from handrail.store.database import open_database
from handrail.store.home import default_home
from handrail.store.runs import Run

ALIASES = "aliases.json"
MAX_ALIASES_BYTES = 2**20


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
    """Where models live: `HOME/models/<name>/<version>/`. Opening it writes nothing."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = Path(home) if home is not None else default_home()
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
            known = listed([*map(str, versions), *self.aliases(name)])
            raise HandrailError("not_found", f"'{name}' has no version '{version}'", f"it has {known}")
        return self.models_folder / name / str(number)

    def names(self) -> list[str]:
        """All model names, sorted."""
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
        found = strict_json(read_limited(path, MAX_ALIASES_BYTES), path, ALIASES)
        if not isinstance(found, dict):
            raise HandrailError("bundle", "the aliases are no object", f"remove {ALIASES} there", where=str(path))
        return {str(alias): int(version) for alias, version in found.items() if isinstance(version, int)}

    def models(self) -> list[ModelEntry]:
        """Every version of every model, by name, newest first. A damaged bundle is listed with the task "damaged"."""
        entries = []
        for name in self.names():
            versions = self.versions(name)
            aliases = self.aliases(name)
            for version in reversed(versions):
                named = tuple(sorted(alias for alias, number in aliases.items() if number == version))
                entries.append(self._entry(name, version, named, latest=version == versions[-1]))
        return entries

    def publish(self, draft: Path, name: str) -> Path:
        """Makes a finished draft the next version of `name` and returns its folder. Numbers are never used twice."""
        check_name(name)
        with self._locked() as database:
            version = self._next_version(database, name)
            final = self.models_folder / name / str(version)
            publish_folder(draft, final)
            database.execute("insert or replace into versions values (?, ?, ?)", (name, version, time.time()))
        return final

    def draft(self) -> contextlib.AbstractContextManager[Path]:
        """A folder on the same disk to build a bundle in; it disappears unless it was published."""
        return drafted_folder(self.models_folder)

    def rename(self, old: str, new: str) -> None:
        """Gives a model, with all its versions and aliases, another name."""
        check_name(new)
        self.find(old)
        with self._locked() as database:
            if (self.models_folder / new).exists():
                raise HandrailError("conflict", f"'{new}' exists already", "choose another name, or remove that one")
            with disk_errors(self.models_folder / new):
                (self.models_folder / old).rename(self.models_folder / new)
            database.execute("delete from versions where name = ?", (new,))
            database.execute("update versions set name = ? where name = ?", (new, old))

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
        with self._locked():
            if version is None or self.versions(name) == [int(path.name)]:
                removed = self.versions(name)
                remove_folder(self.models_folder / name)
                return removed
            number = int(path.name)
            kept = {alias: other for alias, other in self.aliases(name).items() if other != number}
            if kept != self.aliases(name):
                self._write_aliases(name, kept)
            remove_folder(path)
            return [number]

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
                bundle.read(member)
            if approve is not None:
                approve(draft)
            final = self.publish(draft, name or bundle.manifest.name)
        return self._entry(final.parent.name, int(final.name), (), latest=True)

    def refuse_unwritable(self) -> None:
        """Raises HandrailError ("environment") now rather than after an hour of work."""
        with self.draft():
            pass

    def run(self, key: str) -> Run:
        """The saved pieces of a training run with this key (see `train`)."""
        return Run(self.home / "runs" / key)

    def runs(self) -> list[dict[str, Any]]:
        """Finished trainings, newest first: name, version, seconds, when."""
        if not (self.home / "handrail.db").exists():
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
            database.execute("delete from versions")
            found = [(name, version) for name in self.names() for version in self.versions(name)]
            for name, version in found:
                created = (self.models_folder / name / str(version) / "manifest.json").stat().st_mtime
                database.execute("insert into versions values (?, ?, ?)", (name, version, created))
        return len(found)

    def _entry(self, name: str, version: int, aliases: tuple[str, ...], *, latest: bool) -> ModelEntry:
        folder = self.models_folder / name / str(version)
        try:
            manifest = open_bundle(folder).manifest
            task, size = manifest.task, sum(item["bytes"] for item in manifest.files.values())
        except HandrailError:
            task, size = "damaged", 0
        return ModelEntry(name, version, task, aliases, latest, size, folder.stat().st_mtime)

    def _next_version(self, database: sqlite3.Connection, name: str) -> int:
        (highest,) = database.execute("select max(version) from versions where name = ?", (name,)).fetchone()
        return max([highest or 0, *self.versions(name)]) + 1

    def _write_aliases(self, name: str, aliases: dict[str, int]) -> None:
        write_bytes(self.models_folder / name / ALIASES, to_json(aliases))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """The database inside one write transaction: two acts on a store come one after the other."""
        database = open_database(self.home / "handrail.db")
        try:
            database.execute("begin immediate")
            yield database
            database.execute("commit")
        except sqlite3.OperationalError as error:
            problem = f"the database is not to be had: {error}"
            raise HandrailError("conflict", problem, "wait for the other command to end, then try again") from error
        finally:
            database.close()


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


def free_bytes(home: Path) -> int:
    """Free space on the disk where a store is or would be."""
    folder = home
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
