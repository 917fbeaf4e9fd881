"""Lines of .cortexignore mean what they mean in a .gitignore."""

from __future__ import annotations

import pytest

from handrail.predictors.ignoring import leaves_out, rules_of


@pytest.mark.parametrize(
    ("line", "left_out", "kept"),
    [
        ("data.csv", ["data.csv", "a/data.csv"], ["data.csv2", "xdata.csv"]),
        ("/data.csv", ["data.csv"], ["a/data.csv"]),
        ("a/data.csv", ["a/data.csv"], ["b/a/data.csv"]),
        ("*.csv", ["x.csv", "a/b/x.csv"], ["x.csvx", "csv"]),
        ("a/*.csv", ["a/x.csv"], ["a/b/x.csv", "x.csv"]),
        ("a/**/x.csv", ["a/x.csv", "a/b/x.csv", "a/b/c/x.csv"], ["x.csv", "b/a/x.csv"]),
        ("**/x.csv", ["x.csv", "a/b/x.csv"], ["ax.csv"]),
        ("a/**", ["a/x", "a/b/x"], ["a", "b/a/x"]),
        ("x?.csv", ["x1.csv", "xé.csv"], ["x.csv", "x/.csv", "x12.csv"]),
        ("x[0-9].csv", ["x1.csv"], ["xa.csv", "x12.csv"]),
        ("x[!0-9].csv", ["xa.csv"], ["x1.csv", "x/.csv"]),
        ("x[^0-9].csv", ["xa.csv"], ["x1.csv"]),
        ("x[]a].csv", ["x].csv", "xa.csv"], ["xb.csv"]),
        (r"\#notes", ["#notes"], ["notes"]),
        (r"\!important", ["!important"], ["important"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("a b ", ["a b"], ["a b "]),
        ("a b\\ ", ["a b "], ["a b"]),
        ("x.csv\r", ["x.csv"], []),
        ("(a+)+$", ["(a+)+$"], ["aa"]),
        ("x[", [], ["x", "x[0"]),
        ("x[9-0].csv", [], ["x5.csv"]),
    ],
)  # fmt: skip
def test_a_line_leaves_out_what_it_fits(line: str, left_out: list[str], kept: list[str]) -> None:
    rules = rules_of(line)
    assert [name for name in left_out if not leaves_out(rules, name, is_folder=False)] == []
    assert [name for name in kept if leaves_out(rules, name, is_folder=False)] == []


def test_a_slash_at_the_end_means_folders_alone() -> None:
    rules = rules_of("build/")
    assert leaves_out(rules, "build", is_folder=True)
    assert leaves_out(rules, "a/build", is_folder=True)
    assert not leaves_out(rules, "build", is_folder=False)


def test_the_last_line_that_fits_decides() -> None:
    rules = rules_of("*.csv\n!keep.csv\nold/keep.csv\n")
    assert leaves_out(rules, "x.csv", is_folder=False)
    assert not leaves_out(rules, "keep.csv", is_folder=False)
    assert leaves_out(rules, "old/keep.csv", is_folder=False)


def test_comments_and_blank_lines_leave_out_nothing() -> None:
    assert rules_of("# *.csv\n\n   \n/\n!\n") == ()
