"""Files are found where they may be read, each once, in the order of their names; patterns only ever leave some out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.jobs.finding import files_in, matches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows of two years, a text, something hidden; and a secret beside them."""
    root = tmp_path / "rows"
    for name in ("2025/may.csv", "2026/june.csv", "2026/june.jsonl", "readme.txt", ".hidden/x.csv", "2026/.x.csv"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("id\n1\n")
    (tmp_path / "secret.csv").write_text("id\n2\n")
    return root


def names(*paths: object, **settings: object) -> list[str]:
    return [file.name for file in files_in([str(path) for path in paths], **settings)]  # type: ignore[arg-type]


def test_a_folder_is_all_its_files_in_order(folder: Path) -> None:
    assert names(folder) == ["readme.txt", "2025/may.csv", "2026/june.csv", "2026/june.jsonl"]


def test_a_file_that_is_given_twice_is_read_once(folder: Path) -> None:
    assert names(folder / "readme.txt", folder / "2025" / ".." / "readme.txt") == ["readme.txt"]


def test_includes_and_excludes_choose(folder: Path) -> None:
    assert names(folder, includes=["*.csv"]) == ["2025/may.csv", "2026/june.csv"]
    assert names(folder, includes=["2026/*"], excludes=["*.csv"]) == ["2026/june.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.csv", "a.csv", True), ("*.csv", "x/a.csv", True), ("x/*.csv", "x/a.csv", True),
        ("x/*.csv", "x/y/a.csv", False), ("x/**/*.csv", "x/y/z/a.csv", True), ("x/**/*.csv", "x/a.csv", True),
        ("**.csv", "x/y/a.csv", True), ("a?.csv", "ab.csv", True), ("a?.csv", "a/.csv", False),
        ("[ab].csv", "b.csv", True), ("[!ab].csv", "b.csv", False), ("[0-9].csv", "7.csv", True),
        ("a.csv", "axcsv", False), ("(a|b)+.csv", "aab.csv", False), ("[", "[", True),
    ],
)  # fmt: skip
def test_patterns_mean_what_shells_mean(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_a_pattern_cannot_take_for_ever(folder: Path) -> None:
    with pytest.raises(HandrailError, match="5 stars"):
        names(folder, includes=["*a" * 30])


@pytest.mark.parametrize("pattern", ["../*", "../../etc/passwd", "/etc/**", "**/../secret.csv"])
def test_a_pattern_reaches_nothing_outside(folder: Path, pattern: str) -> None:
    with pytest.raises(HandrailError, match="none is left"):
        names(folder, includes=[pattern])


OUTSIDE = [
    "../secret.csv", "2025/../../secret.csv", "/etc/passwd", "/", "..", "~/x", "%2e%2e/secret.csv", "..\\secret.csv",
    "/proc/self/environ", "/dev/zero",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_of_the_folders_is_read_or_told_from_what_is_not_there(folder: Path, path: str) -> None:
    told = []
    for asked in (path, f"{path}-not-there"):
        with pytest.raises(HandrailError, match="in no folder that jobs may read") as error:
            names(asked, folders=[folder])
        told.append((error.value.code, error.value.problem.replace(asked, ""), error.value.mend))
    assert told[0] == told[1]
    assert told[0][0] == "forbidden"


def test_without_folders_nothing_is_read(folder: Path) -> None:
    with pytest.raises(HandrailError, match="in no folder"):
        names(folder, folders=[])


def test_names_are_looked_for_in_the_folders(folder: Path) -> None:
    assert names("2025", folders=[folder]) == ["may.csv"]
    assert names(folder / "2025", folders=[folder]) == ["may.csv"]


def test_a_link_that_leads_out_is_left_out(folder: Path) -> None:
    (folder / "2025" / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "2025" / "inner.csv").symlink_to(folder / "readme.txt")
    assert names("2025", folders=[folder]) == ["inner.csv", "may.csv"]
    with pytest.raises(HandrailError, match="in no folder"):
        names("2025/link.csv", folders=[folder])


def test_a_folder_that_is_a_link_out_is_not_entered(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.csv").write_text("id\n")
    (folder / "2025" / "out").symlink_to(tmp_path / "elsewhere")
    assert names("2025", folders=[folder]) == ["may.csv"]
    with pytest.raises(HandrailError, match="in no folder"):
        names("2025/out", folders=[folder])


def test_a_pipe_is_no_file_and_nobody_waits_for_it(folder: Path) -> None:
    os.mkfifo(folder / "2025" / "pipe.csv")
    assert names(folder / "2025") == ["may.csv"]
    with pytest.raises(HandrailError, match="neither a file nor a folder"):
        names(folder / "2025" / "pipe.csv")


@pytest.mark.parametrize("path", ["s3://bucket/rows.csv", "http://127.0.0.1/x", "file:///etc/passwd", "gopher://x"])
def test_what_is_elsewhere_is_never_fetched(path: str, folder: Path) -> None:
    for folders in (None, [folder]):
        with pytest.raises(HandrailError, match="only files of this machine"):
            names(path, folders=folders)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(HandrailError, match="a path is empty, too long, or holds a NUL"):
        names(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HandrailError, match="no such file or folder"):
        names(tmp_path / "nothing")
    with pytest.raises(HandrailError, match="no files in"):
        names(tmp_path)
