"""The variables of a .env file."""

from __future__ import annotations

import pytest

from handrail.core.errors import HandrailError
from handrail.predictors.dotenv import variables_of


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  export A = 1  ", "1"),
        ("A=", ""),
        ("A=a b c", "a b c"),
        ("A=x # a comment", "x"),
        ("A=x#y", "x#y"),
        ("A=# nothing", ""),
        ("A='x # y' # z", "x # y"),
        (r"A='a\nb'", r"a\nb"),
        (r'A="a\nb\"c\\"', 'a\nb"c\\'),
        ('A=""', ""),
        ("A=$HOME", "$HOME"),
        ("A=$(touch x)", "$(touch x)"),
        ("A=https://x.y/?a=b&c=d", "https://x.y/?a=b&c=d"),
        ("A=ä", "ä"),
        ("A=1\r", "1"),
    ],
)
def test_a_line_gives_a_variable_its_value(line: str, value: str) -> None:
    assert variables_of(f"# first\n\n{line}\n") == {"A": value}


def test_the_last_of_a_name_wins() -> None:
    assert variables_of("\ufeffA=1\nB=2\nA=3\n") == {"A": "3", "B": "2"}


@pytest.mark.parametrize(
    "line", ["TOKEN", "=x", "2A=x", "A-B=secret", "A B=x", 'A="secret', "A='secret", 'A="s"secret', "A=\0"]
)
def test_what_is_no_variable_is_refused_with_its_line_and_without_its_value(line: str) -> None:
    with pytest.raises(HandrailError) as found:
        variables_of(f"X=1\n{line}\n")
    assert found.value.where == ".env line 2"
    assert "secret" not in str(found.value)
