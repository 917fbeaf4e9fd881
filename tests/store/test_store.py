"""The store: names, versions, aliases; bundles are the truth and the database can go."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from handrail.core.bundle import Manifest, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.signature import Field, Output, Signature
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


def test_a_damaged_database_is_named(home: Path) -> None:
    home.mkdir()
    (home / "handrail.db").write_bytes(b"nonsense " * 1000)
    with pytest.raises(HandrailError, match="damaged"):
        Store(home).rebuild()
