"""Keys: made once, kept as hashes, asked for on every route but health, and how often each may ask."""

from __future__ import annotations

import json
import re
import stat
import threading
import time
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.model import Model
from handrail.serve.app import App
from handrail.serve.guard import Bucket, Guard
from handrail.serve.http import Request
from handrail.serve.keys import Rate, add_key, keys_at, matching, rate_from, read_keys, remove_key
from handrail.serve.limits import Refused
from tests.faces.conftest import Cli, cli
from tests.serve.bundles import ROW
from tests.serve.served import Ask, within

__all__ = ["cli"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def asked(header: bytes = b"", *, query: bytes = b"", at: float = 0.0, accept: bytes = b"") -> Request:
    headers = {b"host": b"localhost", b"accept": accept, **({b"authorization": header} if header else {})}
    return Request("GET", "/churn", query, headers, b"", "127.0.0.1", b"id", at)


def status(guard: Guard, request: Request, policy: str | None = "caller") -> int:
    """200 for a request that is let in, else the status of the refusal."""
    try:
        page = guard.admit(request, policy)
    except Refused as refused:
        return refused.status
    return 200 if page is None else page.status


# The file


def test_a_key_is_long_random_and_kept_as_a_hash_that_only_the_owner_reads(file: Path) -> None:
    keys = {add_key(file, f"key{number}") for number in range(20)}
    assert len(keys) == 20
    for key in keys:
        assert re.fullmatch(r"handrail_[A-Za-z0-9_-]{43}", key)  # 43 letters of 64 hold 256 bits
        assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_a_key_is_recognised_and_one_that_is_nearly_it_is_not(file: Path) -> None:
    key = add_key(file, "website", Rate(5, "s"))
    (kept,) = read_keys(file)
    assert (kept.name, kept.rate) == ("website", Rate(5, "s"))
    assert matching([kept], key.encode()) == kept
    for wrong in (key[:-1], key + "x", key.swapcase(), kept.sha256, ""):
        assert matching([kept], wrong.encode()) is None


def test_a_name_is_given_once_and_a_removed_key_is_gone(file: Path) -> None:
    add_key(file, "website")
    with pytest.raises(HandrailError, match="already") as found:
        add_key(file, "website")
    assert found.value.code == "conflict"
    with pytest.raises(HandrailError) as found:
        remove_key(file, "websit")
    assert found.value.mend == "Did you mean 'website'?"
    remove_key(file, "website")
    assert read_keys(file) == ()


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "x" * 65, "é", "-x", "a\n"])
def test_a_name_is_plain(file: Path, name: str) -> None:
    with pytest.raises(HandrailError, match="cannot be called"):
        add_key(file, name)


def test_keys_made_at_the_same_moment_are_all_kept(file: Path) -> None:
    makers = [threading.Thread(target=add_key, args=(file, f"key{number}")) for number in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(read_keys(file)) == 8


KEPT = {"name": "a", "sha256": "0" * 64, "rate": None, "created": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"x", b"[]", b"{}", b'{"keys": {}, "keys": 3}', b'{"keys": [{}]}', b"[" * 100_000, b"\xff",
        *(json.dumps({"keys": [{**KEPT, **off}]}).encode()
          for off in ({"name": "../a"}, {"sha256": "0"}, {"rate": "fast"}, {"created": "now"}, {"name": None})),
    ],
)  # fmt: skip
def test_a_file_that_is_off_is_refused_with_its_path(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(HandrailError) as found:
        read_keys(file)
    assert found.value.where == str(file)


def test_a_file_that_others_may_write_is_refused(file: Path) -> None:
    add_key(file, "website")
    file.chmod(0o620)
    with pytest.raises(HandrailError, match="others may write") as found:
        read_keys(file)
    assert found.value.mend == f"chmod 600 {file}"


def test_a_file_that_is_mounted_as_a_link_is_read(file: Path, tmp_path: Path) -> None:
    add_key(file, "website")
    link = tmp_path / "mounted.json"
    link.symlink_to(file)
    assert len(read_keys(link)) == 1


def test_a_file_that_is_asked_for_must_hold_a_key(file: Path) -> None:
    with pytest.raises(HandrailError, match="no key is in there"):
        keys_at(file)


@pytest.mark.parametrize("text", ["", "100", "0/s", "-1/s", "1e3/s", "10/d", "10/", "100 /s", "1.5/s", "9" * 10 + "/s"])
def test_a_rate_is_a_count_in_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="100/s"):
        rate_from(text)


# The rate


def test_a_rate_lets_its_count_in_at_once_and_then_one_by_one() -> None:
    bucket = Bucket(Rate(4, "s"))
    assert [bucket.take(10.0) for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert bucket.take(10.2) == pytest.approx(0.05)
    assert [bucket.take(10.25), bucket.take(10.25)] == [0, pytest.approx(0.25)]
    assert [bucket.take(99.0) for _ in range(5)] == [0, 0, 0, 0, 0.25]


def test_over_a_long_time_a_rate_is_what_it_says() -> None:
    bucket = Bucket(Rate(600, "m"))
    let_in = sum(bucket.take(tick / 100) == 0 for tick in range(60_000))  # 100 a second for ten minutes
    assert 6_000 <= let_in <= 6_600


# Who is let in


def test_without_keys_everybody_is_let_in(file: Path) -> None:
    assert status(Guard(), asked()) == 200
    assert status(Guard(file), asked()) == 200
    assert status(Guard(file, asks=True), asked()) == 401


def test_a_key_lets_in_and_health_needs_none(file: Path) -> None:
    key = add_key(file, "website").encode()
    guard = Guard(file)
    for header in (b"Bearer " + key, b"bearer " + key, b"BEARER  " + key):
        for _ in range(2):
            assert status(guard, asked(header)) == 200
    for header in (b"", key, b"Bearer", b"Bearer ", b"Bearer x", b"Basic " + key, b"Bearer " + key[:-1], b"\xff"):
        assert status(guard, asked(header)) == 401
        assert status(guard, asked(header), None) == 401
        assert status(guard, asked(header), "anyone") == 200
    assert status(guard, asked(b"Bearer " + key, query=b"key=" + key)) == 401


def test_only_what_was_right_is_remembered_and_never_without_end(file: Path) -> None:
    key = add_key(file, "website").encode()
    guard = Guard(file)
    for number in range(3_000):
        assert status(guard, asked(b"Bearer %d" % number)) == 401
    assert guard._known == {}
    for blanks in range(1, 1_500):
        assert status(guard, asked(b"Bearer" + b" " * blanks + key)) == 200
    assert len(guard._known) <= 1_000


def test_a_key_that_asks_too_often_is_told_when_to_ask_again(file: Path) -> None:
    slow, free = add_key(file, "slow", Rate(2, "m")).encode(), add_key(file, "free").encode()
    guard = Guard(file)
    assert [status(guard, asked(b"Bearer " + slow)) for _ in range(3)] == [200, 200, 429]
    assert status(guard, asked(b"bearer " + slow)) == 429  # however it is written
    assert [status(guard, asked(b"Bearer " + free)) for _ in range(9)] == [200] * 9
    with pytest.raises(Refused) as found:
        guard.admit(asked(b"Bearer " + slow, at=10.5), "caller")
    assert found.value.headers == ((b"retry-after", b"20"),)
    assert status(guard, asked(b"Bearer " + slow, at=30.5)) == 200


def test_a_running_guard_follows_its_file_and_never_opens_again(file: Path) -> None:
    guard = Guard(file)
    assert status(guard, asked()) == 200
    first = add_key(file, "first", Rate(1, "h")).encode()
    assert status(guard, asked()) == 200
    guard.look()
    assert status(guard, asked()) == 401
    assert [status(guard, asked(b"Bearer " + first)) for _ in range(2)] == [200, 429]
    second = add_key(file, "second").encode()
    guard.look()
    assert status(guard, asked(b"Bearer " + second)) == 200
    assert status(guard, asked(b"Bearer " + first)) == 429  # another key does not pay for it
    remove_key(file, "second")
    guard.look()
    assert status(guard, asked(b"Bearer " + second)) == 401
    file.write_text("damaged")
    guard.look()
    assert status(guard, asked(b"Bearer " + first, at=4_000.0)) == 200
    file.unlink()
    guard.look()
    assert status(guard, asked(b"Bearer " + first, at=8_000.0)) == 401
    assert status(guard, asked()) == 401


def test_a_known_key_costs_a_microsecond(file: Path) -> None:
    header = b"Bearer " + add_key(file, "website", Rate(999_999_999, "s")).encode()
    guard, request = Guard(file), asked(header)
    took = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(10_000):
            guard.admit(request, "caller")
        took.append((time.process_time() - started) / 10_000)
    assert min(took) < 5e-6  # about 0.4 on an idle machine; this one may be busy


def test_a_refusal_has_the_one_shape_and_names_nothing(model: Model, file: Path) -> None:
    key = add_key(file, "website", Rate(1, "h"))

    async def act(ask: Ask, app: App) -> None:
        for found in (await ask("POST", "/churn/predict", ROW), await ask("GET", "/chrun")):
            assert found.status == 401
            assert found.headers["www-authenticate"] == 'Bearer realm="handrail"'
            assert found.json["error"]["code"] == "unauthorized"
            assert found.json["error"]["request_id"] == found.headers["x-request-id"]
            assert "churn" not in found.body.decode()
        assert (await ask("POST", "/churn/predict", ROW, **bearer(key))).json == model(ROW)
        found = await ask("POST", "/churn/predict", ROW, **bearer(key))
        assert (found.status, found.json["error"]["code"]) == (429, "rate_limited")
        assert 3_590 <= int(found.headers["retry-after"]) <= 3_600

    within(model, act, guard=Guard(file))


def test_a_browser_without_a_key_gets_a_field_for_it(model: Model, file: Path) -> None:
    key = add_key(file, "website")

    async def act(ask: Ask, app: App) -> None:
        page = await ask("GET", "/churn", accept="text/html,*/*")
        assert (page.status, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert page.headers["www-authenticate"].startswith("Bearer")
        assert b"<input id=key type=password" in page.body
        assert b"churn" not in page.body
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'sha256-" in policy
        wrong = await ask("GET", "/churn", accept="text/html", **bearer("x"))
        assert wrong.headers["content-type"] == "application/json"
        right = await ask("GET", "/churn", accept="text/html", **bearer(key))
        assert (right.status, b"<form id=form" in right.body) == (200, True)

    within(model, act, guard=Guard(file))


# The command line


def test_a_key_is_printed_once_and_alone(home: Path, cli: Cli) -> None:
    assert "no keys" in cli("keys").out
    done = cli("keys", "add", "website", "--rate", "100/s")
    key = done.out.strip()
    assert re.fullmatch(r"handrail_[\w-]{43}\n", done.out)
    assert "only time" in done.err
    made = cli("keys", "add", "ci", "--json").object()
    assert (made["name"], made["rate"]) == ("ci", None)
    shown = cli("keys", "list")
    assert shown.out.splitlines()[0].split() == ["key", "rate", "made"]
    assert shown.out.splitlines()[2].split()[:2] == ["website", "100/s"]
    listed = cli("keys", "--json").object()
    assert listed["file"] == str(home / "keys.json")
    assert [item["name"] for item in listed["keys"]] == ["ci", "website"]
    assert key not in shown.out + json.dumps(listed)
    assert cli("keys", "remove", "ci", "--json").object() == {"name": "ci"}
    assert [item["name"] for item in cli("keys", "--json").object()["keys"]] == ["website"]


def test_keys_may_be_kept_in_another_file(home: Path, tmp_path: Path, cli: Cli) -> None:
    file = str(tmp_path / "other.json")
    cli("keys", "add", "website", "--keys", file)
    assert len(cli("keys", "list", "--keys", file, "--json").object()["keys"]) == 1
    assert not home.exists()


def test_wrong_words_about_keys_are_refused(home: Path, cli: Cli) -> None:
    cli("keys", "ad", "x").refused(2, "did you mean 'add'?")
    cli("keys", "add", "x", "--rate", "often").refused(2, "--rate: expected a rate such as 100/s")
    cli("keys", "add", "X").refused(2, "cannot be called")
    cli("keys", "remove", "x").refused(4, "no key is called 'x'", "there are none")
    cli("keys", "add", "x")
    cli("keys", "add", "x").refused(6, "already")
