"""What a client without a key gets, from every route there is: A5 to A7, A19 and H1 of the project's hostile lists."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.model import Model
from handrail.serve import serve
from handrail.serve.app import App
from handrail.serve.guard import Guard
from handrail.serve.keys import Rate, add_key, remove_key
from tests.faces.shop import HANDRAIL
from tests.serve.bundles import ROW, make_bundle
from tests.serve.served import JSON, Ask, Served, serving, until, within

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# Paths that are in no table: some have a model's route, some have none.
PATHS = (
    "/v2/models/churn/versions/1/infer", "/v2/models/churn/versions/1", "/v1/models/churn/versions/1:predict",
    "/v1/models/churn/labels/x:predict", "/nobody", "/churn/nothing", "/docs/", "/%2e%2e/", "/v1/x", "/v2/x",
    "/static/x", "/favicon.ico", "//healthz", "/healthz/", "/readyz/../churn", "/HEALTHZ",
)  # fmt: skip
# Whoever adds a route for anyone has to add it here, too.
HEALTH = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("churn"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_every_route_asks_for_a_key_unless_it_is_said_to_be_for_anyone(model: Model, file: Path) -> None:  # A5, A6
    key = add_key(file, "website")
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")

    async def act(ask: Ask, app: App) -> None:
        open_to_anyone = {path for path, route in app.routes.items() if route.policy == "anyone"}
        assert open_to_anyone == HEALTH
        for path in (*app.routes, *PATHS):
            for method in METHODS:
                body = ROW if method == "POST" else None
                for query in ("", f"key={key}", f"token={key}&version=1", f"authorization=Bearer%20{key}"):
                    for header in ({}, {"authorization": f"Bearer {wrong}"}, {"x_api_key": key}, {"cookie": key}):
                        found = await ask(method, path, body, query=query, **header)
                        if path in open_to_anyone:
                            assert found.status in (200, 400, 405, 503), (method, path)
                        else:
                            assert found.status == 401, (method, path, query, header, found.status)
                            assert found.headers["www-authenticate"].startswith("Bearer ")
                found = await ask(method, path, body, authorization=f"Bearer {key}")
                assert found.status != 401, (method, path)
                assert (
                    path in open_to_anyone
                    or (await ask(method, path, body, query=f"key={key}", authorization=f"Bearer {key}")).status == 401
                )

    within(model, act, guard=Guard(file))


def test_a_key_opens_no_door_for_other_hosts_and_pages(model: Model, file: Path) -> None:  # A19
    key = add_key(file, "website")

    async def act(ask: Ask, app: App) -> None:
        for path in app.routes:
            for method in METHODS:
                for off in ({"host": "evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
                    found = await ask(method, path, None, authorization=f"Bearer {key}", **off)
                    assert found.status in (403, 421), (method, path, off)

    within(model, act, guard=Guard(file))


def test_two_new_installations_have_different_keys(tmp_path: Path) -> None:  # A7
    one, other = (add_key(tmp_path / name / "keys.json", "first") for name in ("one", "other"))
    assert one != other


@pytest.fixture(scope="module")
def guarded(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path, str]]:
    """A real server, reachable by others, with a key."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    key = add_key(file, "website")
    options = {"keys": str(file), "host": "0.0.0.0", "hosts": ["models.example.org"]}
    with serving(model.bundle.path, **options) as served:
        yield served, file, key


def with_key(key: str, **more: str) -> dict[str, str]:
    return {**JSON, "authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in more.items()}}


def test_a_public_server_answers_to_its_names_and_to_a_key(guarded: tuple[Served, Path, str], model: Model) -> None:
    served, _, key = guarded
    assert served.ask("GET", "/readyz")[0] == 200
    assert served.ask("POST", "/churn/predict", ROW)[0] == 401
    for host in ("127.0.0.1", "localhost:1", "0.0.0.0", "models.example.org", "MODELS.example.org:443"):
        status, _, content = served.ask("POST", "/churn/predict", ROW, with_key(key, host=host))
        assert (status, json.loads(content)) == (200, model(ROW))
    for host in ("example.org", "x.models.example.org", "10.0.0.1"):
        status, _, content = served.ask("POST", "/churn/predict", ROW, with_key(key, host=host))
        assert (status, "--allow-host" in content.decode()) == (421, True)


def test_two_keys_in_one_request_are_refused(guarded: tuple[Served, Path, str]) -> None:  # H1
    served, _, key = guarded
    line = f"authorization: Bearer {key}\r\n"
    sent = f"GET /churn HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{line}{line}\r\n"
    assert served.raw(sent.encode()).startswith(b"HTTP/1.1 400")


def test_a_running_server_follows_its_keys(guarded: tuple[Served, Path, str]) -> None:
    served, file, key = guarded
    second = add_key(file, "second", Rate(1, "h"))
    until(lambda: served.ask("GET", "/churn", headers=with_key(second))[0] == 200)
    status, headers, _ = served.ask("GET", "/churn", headers=with_key(second))
    assert (status, headers["retry-after"]) == (429, "3600")
    remove_key(file, "second")
    until(lambda: served.ask("GET", "/churn", headers=with_key(second))[0] == 401)
    assert served.ask("GET", "/churn", headers=with_key(key))[0] == 200


def test_keys_never_stand_in_a_log(model: Model, file: Path) -> None:
    key = add_key(file, "website")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with serving(model.bundle.path, keys=str(file), access_log=True) as served:
        asked = [
            served.ask("GET", "/churn", headers=with_key(key, traceparent=trace)),
            served.ask("GET", f"/churn?key={key}", headers=with_key(key)),
            served.ask("GET", f"/{key}", headers=with_key(key)),
            served.ask("GET", f"/{key}/predict", headers={}),
            served.ask("GET", "/churn", headers=with_key(key, x_request_id=key, traceparent="00-x-y-01")),
            served.ask("POST", "/churn/predict", {**ROW, "plan": {"a": 1}}, with_key(key)),
            served.ask("POST", "/churn/predict", b"{" * 70, with_key(key)),
        ]
        assert [status for status, _, _ in asked] == [200, 401, 404, 401, 200, 422, 400]
        assert served.stop() == 0
        assert served.process.stderr is not None
        told = served.process.stderr.read()
    lines = [json.loads(line) for line in told.splitlines()]
    assert len(lines) == 7
    assert key not in told
    assert key[len("handrail_") :] not in told
    assert [line.get("trace_id") for line in lines] == ["4bf92f3577b34da6a3ce929d0e0e4736", *[None] * 6]
    shape = {"at", "client", "method", "path", "status", "bytes", "took_ms", "request_id"}
    assert {frozenset(line) for line in lines} == {frozenset(shape), frozenset({*shape, "trace_id"})}
    assert lines[2]["path"] == "/handrail_***"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_a_server_that_others_could_reach_wants_a_key_first(model: Model, home: Path, host: str) -> None:  # A5
    with pytest.raises(HandrailError) as found:
        serve([model], host=host, port=0)
    assert (found.value.code, found.value.exit_status) == ("usage", 2)
    assert f"others could reach {host}" in found.value.problem
    assert "handrail keys add NAME" in found.value.mend


def test_the_command_for_a_public_server_says_what_is_missing(own: Path) -> None:
    words = [*HANDRAIL, "serve", "churn", "--host", "0.0.0.0", "--port", "0", "--allow-host", "models.example.org"]
    environment = {**os.environ, "HANDRAIL_HOME": str(own)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "hint: make one: handrail keys add NAME; or leave --host out"
    key = add_key(own / "keys.json", "website")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving at http://0.0.0.0:")
        server.terminate()
        told = "".join(server.communicate(timeout=60))
    assert "note: keys travel unencrypted; --tls-cert" in told
    assert "-H 'authorization: Bearer KEY'" in told
    assert key not in told


@pytest.mark.parametrize("host", ["192.0.2.1", "name.invalid"])
def test_an_address_of_another_machine_is_named(model: Model, home: Path, host: str) -> None:
    add_key(home / "keys.json", "website")
    with pytest.raises(HandrailError) as found:
        serve([model], host=host, port=0)
    assert found.value.problem == f"{host} is no address of this machine"


@pytest.mark.parametrize("host", ["", "a b", "http://x", "x:80", "é", "a/b", "*"])
def test_a_name_that_is_no_host_is_refused(model: Model, home: Path, host: str) -> None:
    for options in ({"host": host}, {"hosts": [host]}):
        with pytest.raises(HandrailError, match="is no host"):
            serve([model], port=0, **options)  # type: ignore[arg-type]
