"""The store: names, versions, aliases; bundles are the truth and the database can go."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from handrail.core.bundle import Manifest, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.events import Warned
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.store import Store

MANIFEST = Manifest(
    "m", "text-classification", Signature((Field("text", "text"),), Output("label", "label", ("a", "b")))
)


def published(store: Store, name: str = "reviews") -> Path:
    with store.draft() as draft:
        write_bundle(draft, MANIFEST, {"report.json": b"{}"})
        return store.publish(draft, name)


def test_versions_count_up_and_the_newest_is_found(home: Path) -> None:
    store = Store(home)
    published(store)
    published(store)
    assert store.find("reviews").name == "2"
    assert store.find("reviews@1").name == "1"


def test_a_number_is_never_used_twice(home: Path) -> None:
    store = Store(home)
    published(store)
    published(store)
    store.remove("reviews@2")
    assert published(store).name == "3"


def test_an_alias_points_at_a_version_and_survives_the_database(home: Path) -> None:
    store = Store(home)
    published(store)
    published(store)
    store.alias("reviews", "production", 1)
    for item in home.glob("handrail.db*"):
        item.unlink()
    assert store.find("reviews@production").name == "1"
    assert store.rebuild() == 2
    assert [entry.aliases for entry in store.models()] == [(), ("production",)]
    store.unalias("reviews", "production")
    with pytest.raises(HandrailError, match="no version 'production'"):
        store.find("reviews@production")


def test_renaming_takes_versions_and_aliases_along(home: Path) -> None:
    store = Store(home)
    published(store)
    store.alias("reviews", "best")
    store.rename("reviews", "opinions")
    assert store.find("opinions@best").name == "1"
    with pytest.raises(HandrailError, match=r"Did you mean|no model is called"):
        store.find("reviews")


def test_a_taken_name_is_not_overwritten(home: Path) -> None:
    store = Store(home)
    published(store, "a")
    published(store, "b")
    with pytest.raises(HandrailError, match="exists already") as caught:
        store.rename("a", "b")
    assert caught.value.exit_status == 6


@pytest.mark.parametrize(
    "name", ["../x", "a b", "-rf", "A", "x" * 65, "😀", "a\0b", "", ".hidden", "a/b", "con.", "a\n"]
)
def test_a_name_that_is_no_name_is_refused_with_the_pattern(home: Path, name: str) -> None:
    with pytest.raises(HandrailError, match="a-z 0-9") as caught:
        Store(home).find(name)
    assert caught.value.exit_status == 2


def test_many_publish_at_once_and_each_gets_its_own_number(home: Path) -> None:
    store = Store(home)
    threads = [threading.Thread(target=published, args=(Store(home),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.versions("reviews") == list(range(1, 9))


def test_an_archive_comes_back_the_same(home: Path, tmp_path: Path) -> None:
    store = Store(home)
    first = published(store)
    store.export("reviews", tmp_path / "a.handrail")
    store.export("reviews", tmp_path / "b.handrail")
    assert (tmp_path / "a.handrail").read_bytes() == (tmp_path / "b.handrail").read_bytes()
    entry = Store(tmp_path / "other").import_archive(tmp_path / "a.handrail")
    assert entry.name == "m"
    imported = tmp_path / "other/models/m/1"
    assert (imported / "manifest.json").read_bytes() == (first / "manifest.json").read_bytes()


def test_an_archive_that_is_not_approved_is_not_kept(home: Path, tmp_path: Path) -> None:
    store = Store(home)
    published(store)
    store.export("reviews", tmp_path / "a.handrail")

    def refuse(folder: Path) -> None:
        raise HandrailError("bundle", "no", "no")

    with pytest.raises(HandrailError):
        store.import_archive(tmp_path / "a.handrail", "other", approve=refuse)
    assert store.names() == ["reviews"]


def test_pieces_of_a_run_are_arrays_and_a_damaged_one_counts_as_absent(home: Path) -> None:
    run = Store(home).run("abc")
    run.put("one", {"x": np.arange(3)})
    assert run.get("one")["x"].tolist() == [0, 1, 2]  # type: ignore[index]
    (run.folder / "one.npz").write_bytes(b"PK\x03\x04 not really")
    assert run.get("one") is None
    assert run.keys() == ["one"]
    run.remove()
    assert run.keys() == []


def test_a_pickle_in_a_piece_is_not_opened(home: Path) -> None:
    run = Store(home).run("abc")
    run.put("one", {"x": np.array([{"a": 1}], dtype=object)})
    assert run.get("one") is None


DAMAGE = {
    "nonsense": lambda content: b"nonsense " * 1000,
    "random": lambda content: random.Random(0).randbytes(8192),
    "half": lambda content: content[:4096] + b"\xff" * (len(content) - 4096),
    "other tables": lambda content: other_database(),
}


def other_database() -> bytes:
    """A sound database of our shape's number that holds none of our tables."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table songs (title text)")
        database.execute("pragma user_version = 1")
        return database.serialize()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_set_aside_and_made_anew_from_the_bundles(home: Path, damage: str) -> None:
    published(Store(home))
    published(Store(home))
    path = home / "handrail.db"
    broken = DAMAGE[damage](path.read_bytes())
    path.write_bytes(broken)
    told: list[object] = []
    store = Store(home, tell=told.append)
    store.refuse_unwritable()
    assert [event.text for event in told if isinstance(event, Warned)] == [
        "the database was damaged: it was made anew from 2 versions, and kept as handrail.db.damaged"
    ]
    assert (home / "handrail.db.damaged").stat().st_size == len(broken)
    assert published(store).name == "3"
    assert len(told) == 1


def test_two_that_find_the_same_damage_mend_it_once(home: Path) -> None:
    published(Store(home))
    (home / "handrail.db").write_bytes(b"nonsense " * 1000)
    told: list[object] = []
    threads = [threading.Thread(target=published, args=(Store(home, tell=told.append),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Store(home).versions("reviews") == [1, 2, 3, 4, 5]
    assert len(told) == 1


def test_a_database_of_a_newer_shape_is_refused_before_any_work_and_kept(home: Path) -> None:
    published(Store(home))
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as database:
        database.execute("pragma user_version = 9")
    with pytest.raises(HandrailError, match="of shape 9"):
        Store(home).refuse_unwritable()
    assert not (home / "handrail.db.damaged").exists()


@pytest.mark.parametrize(
    ("said", "code", "problem"),
    [
        ("database is locked", "conflict", "not to be had"),
        ("database or disk is full", "environment", "the disk is full"),
        ("unable to open database file", "environment", "cannot use the database"),
    ],
)
def test_what_is_no_damage_is_named_and_nothing_is_set_aside(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: str, problem: str
) -> None:
    published(Store(home))

    def fails(database: object, steps: object) -> None:
        raise sqlite3.OperationalError(said)

    monkeypatch.setattr("handrail.store.database.migrate", fails)
    with pytest.raises(HandrailError, match=problem) as caught:
        published(Store(home))
    assert caught.value.code == code
    assert not (home / "handrail.db.damaged").exists()


def test_on_a_full_disk_a_model_can_be_removed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(home)
    published(store)
    published(store)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def no_space(path: Path) -> None:
        raise HandrailError("environment", "the disk is full", "free some space")

    with monkeypatch.context() as patched:
        patched.setattr("handrail.store.database.free_bytes", lambda home: 0)
        patched.setattr("handrail.store.database.write_ahead", full)
        patched.setattr("handrail.store.remove_folder", no_space)
        with pytest.raises(HandrailError, match="the disk is full"):
            published(store)
        assert store.remove("reviews@2") == [2]
        assert store.remove("reviews") == [1]
    assert store.names() == []
    assert published(store).name == "3"


def test_a_number_is_not_used_twice_after_a_rename(home: Path) -> None:
    store = Store(home)
    published(store, "b")
    published(store, "b")
    store.remove("b")
    published(store, "penguins")
    store.rename("penguins", "b")
    assert published(store, "b").name == "3"
    assert published(store, "penguins").name == "2"


@pytest.mark.parametrize("first", ["remove", "forget"])
def test_a_number_is_not_used_twice_when_the_database_goes(home: Path, first: str) -> None:
    store = Store(home)
    published(store)
    published(store)
    steps = {"remove": lambda: store.remove("reviews@2"), "forget": (home / "handrail.db").unlink}
    for step in sorted(steps, key=lambda name: name != first):
        steps[step]()
    assert published(store).name == "3"


def test_broken_aliases_hide_no_model_and_say_what_to_remove(home: Path) -> None:
    told: list[object] = []
    store = Store(home, tell=told.append)
    published(store, "a")
    published(store, "b")
    (home / "models/a/aliases.json").write_text("{")
    assert [(entry.name, entry.aliases) for entry in store.models()] == [("a", ()), ("b", ())]
    assert [event.text.count("remove that file") for event in told if isinstance(event, Warned)] == [1]
    with pytest.raises(HandrailError, match="aliases of 'a' cannot be read") as caught:
        store.find("a@production")
    assert "remove that file" in caught.value.mend


def test_an_alias_that_leads_nowhere_is_said_to(home: Path) -> None:
    store = Store(home)
    published(store)
    (home / "models/reviews/aliases.json").write_text('{"production": 7}')
    with pytest.raises(HandrailError, match="leads to version 7, which is not there"):
        store.find("reviews@production")
    with pytest.raises(HandrailError, match="no version 'other'") as caught:
        store.find("reviews@other")
    assert caught.value.mend == "it has 1"


def test_an_alias_of_no_model_is_no_model(home: Path) -> None:
    with pytest.raises(HandrailError, match="no model is called 'nope'"):
        Store(home).unalias("nope", "production")


def test_what_killed_commands_left_behind_is_swept_when_it_is_old(home: Path) -> None:
    store = Store(home)
    published(store)
    now = time.time()
    ages = {"models/.draft-a": 2, "models/.gone-b": 2, "models/reviews/.gone-c": 2, "runs/old": 8,
            "models/.draft-new": 0.5, "runs/new": 2}  # fmt: skip
    for name, days in ages.items():
        (home / name).mkdir(parents=True)
        (home / name / "piece").write_bytes(b"x")
        for path in (home / name / "piece", home / name):
            os.utime(path, (now - days * 86_400, now - days * 86_400))
    assert len(store.left_behind()) == len(ages)
    with store.draft():
        pass
    assert [path.name for path in store.left_behind()] == [".draft-new", "new"]
    assert store.versions("reviews") == [1]


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HandrailError, match="is a file, not a folder") as caught:
            Store(home).models()
        assert caught.value.exit_status == 5
