"""Models that write, deployed: versions change and replicas sleep, and no open stream notices."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from handrail.deploy.spec import ApiSpec, Autoscaling, Monitoring, Share
from handrail.serve.keys import add_key
from tests.engines.engine import Engine, engine_at, until
from tests.generation_bundles import generation_bundle
from tests.rig.updater import save

# With a window of 256 and tokens of a millisecond, a text that slides for some seconds.
LONG = {"prompt": "Once upon a time", "max_tokens": 1_500, "seed": 1, "ignore_end": True}
SHORT = {"prompt": "Once upon a time", "max_tokens": 20, "seed": 1, "ignore_end": True}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_at(tmp_path / "home", versions=0) as found:
        for seed in (1, 2):
            save(found.place.home, "tale", lambda folder, seed=seed: generation_bundle(folder, seed=seed, name="tale"))  # type: ignore[misc]
        yield found


def spec(model: str = "tale@1", **options: Any) -> ApiSpec:
    return ApiSpec("tale", model=model, **options)


def written(engine: Engine, body: dict[str, Any] = SHORT, **headers: str) -> str:
    status, _, content = engine.served.ask("POST", "/tale/generate", body, {"content-type": "application/json",
                                                                            **headers})  # fmt: skip
    assert status == 200, content
    return str(json.loads(content)["text"])


class Streaming:
    """Streams that are open while something happens; `texts` are what they brought."""

    def __init__(self, engine: Engine, count: int = 3) -> None:
        self.texts: list[str] = [""] * count
        self.ends: list[str | None] = [None] * count
        self._begun = threading.Barrier(count + 1, timeout=20)
        self._threads = [threading.Thread(target=self._read, args=(engine, place)) for place in range(count)]

    def _read(self, engine: Engine, place: int) -> None:
        with openai.OpenAI(base_url=f"{engine.url}/v1", api_key="none", max_retries=0) as client:
            asked: Any = {"model": "tale", "prompt": LONG["prompt"], "max_tokens": LONG["max_tokens"], "seed": 1}
            stream = client.completions.create(**asked, stream=True, extra_body={"ignore_end": True})
            for number, event in enumerate(stream):
                if number == 5:
                    self._begun.wait()
                self.texts[place] += event.choices[0].text
                self.ends[place] = event.choices[0].finish_reason or self.ends[place]

    def __enter__(self) -> Streaming:
        for thread in self._threads:
            thread.start()
        self._begun.wait()
        return self

    def __exit__(self, *ended: object) -> None:
        for thread in self._threads:
            thread.join(150)


def alone(engine: Engine) -> str:
    """The long text when nothing happens meanwhile."""
    with Streaming(engine, 1) as streaming:
        pass
    return streaming.texts[0]


def test_a_new_version_takes_over_and_open_streams_end_as_they_began(engine: Engine) -> None:
    engine.deploy(spec())
    wanted = alone(engine)
    first = written(engine)
    with Streaming(engine) as streaming:
        engine.deploy(spec("tale@2"))
        second = written(engine)
    assert second != first
    assert streaming.texts == [wanted] * 3
    assert streaming.ends == ["length"] * 3
    until(lambda: len(engine.status("tale")["versions"]) == 1, engine)


def test_replicas_are_replaced_and_open_streams_go_on(engine: Engine) -> None:
    engine.deploy(spec())
    wanted = alone(engine)
    before = engine.status("tale")["versions"][0]["pids"]
    with Streaming(engine) as streaming:
        engine.ask("refresh", api="tale")
    assert streaming.texts == [wanted] * 3
    until(lambda: set(engine.status("tale")["versions"][0]["pids"]).isdisjoint(before), engine)


def test_an_idle_model_sleeps_and_the_first_who_asks_wakes_it(engine: Engine) -> None:
    sleepy = Autoscaling(min_replicas=0, window_s=0.3, downscale_stabilization_period_s=0.3)
    engine.deploy(spec(autoscaling=sleepy))
    until(lambda: engine.status("tale")["state"] == "asleep" and not engine.pids("generation_replica"), engine)
    begun = time.monotonic()
    assert written(engine)
    assert time.monotonic() - begun < 10.0


def test_a_header_asks_for_another_version_and_answers_are_watched(engine: Engine) -> None:
    engine.deploy(spec(traffic=(Share("tale@2", header="x-try: yes"),), monitoring=Monitoring()))
    assert written(engine, **{"x-try": "yes"}) != written(engine)
    status, answer = engine.predict("tale", {"prompt": "Once"})
    assert status == 200, answer
    assert engine.served.ask("GET", "/tale/monitoring", None, {})[0] == 200
    assert engine.served.ask("GET", "/metrics", None, {})[0] == 200


def test_keys_of_an_api_keep_others_out_of_every_way_to_it(engine: Engine, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = add_key(keys, "me")
    engine.deploy(spec(keys=str(keys)))
    for path in ("/tale/generate", "/v1/completions", "/v1/chat/completions"):
        body = {**SHORT, "model": "tale", "messages": [{"role": "user", "content": "a"}]}
        assert engine.served.ask("POST", path, body)[0] == 401
    assert written(engine, authorization=f"Bearer {key}")
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key=key) as client:
        assert client.completions.create(model="tale", prompt="a", max_tokens=3).usage
    wrong = openai.OpenAI(base_url=f"{engine.url}/v1", api_key="hr_wrong", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError):
        wrong.completions.create(model="tale", prompt="a")
