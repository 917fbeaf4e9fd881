"""What an operator chooses for an engine: kept, checked, and followed."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec
from handrail.engines.local.gateway import _allowed
from handrail.engines.local.place import Place
from handrail.engines.local.settings import KNOWN, read_settings, write_settings
from handrail.engines.local.start import ensure_running
from tests.engines.engine import Engine, engine_at, until
from tests.serve.bundles import ROW
from tests.serve.test_tls import certified


def test_jobs_have_the_workers_and_days_that_were_chosen() -> None:
    may = _allowed({**KNOWN, "workers": 3, "keep_days": 2, "folders": ["/data"]})
    assert (may.workers, may.keep_s, may.folders) == (3, 2 * 86_400, [Path("/data")])
    assert _allowed(dict(KNOWN)).workers >= 1


@pytest.mark.parametrize(
    "wrong", ['{"workers": "2"}', '{"workers": -1}', '{"keep_days": 0}', '{"tls": ["a.pem"]}', '{"tls": [1, 2]}', "[]"]
)
def test_settings_that_are_off_are_refused_in_words(tmp_path: Path, wrong: str) -> None:
    place = Place(tmp_path)
    place.settings.parent.mkdir(parents=True, exist_ok=True)
    place.settings.write_text(wrong)
    with pytest.raises(HandrailError, match="the engine's settings are off"):
        read_settings(place)


def test_what_is_written_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    write_settings(place, workers=4)
    write_settings(place, port=9)
    assert (read_settings(place)["workers"], read_settings(place)["port"]) == (4, 9)


def test_the_engine_speaks_https_also_after_its_gateway_was_killed(tmp_path: Path) -> None:
    files = certified(tmp_path)
    with engine_at(tmp_path / "home", tls=files) as engine:
        assert engine.url.startswith("https://")
        engine.deploy(ApiSpec("churn", model="churn@1"))
        assert asked(engine, files[0]) == 200
        engine.kill("engines.local.gateway")
        until(lambda: asked(engine, files[0]) == 200, engine)
        with pytest.raises(HandrailError, match="the engine runs at https"):
            ensure_running(engine.place, port=1)


def test_a_certificate_that_cannot_be_read_is_said_before_the_engine_starts(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("nothing")
    with pytest.raises(HandrailError, match="there is no certificate in it"):
        ensure_running(Place(tmp_path / "home"), port=0, tls=(tmp_path / "a.pem", tmp_path / "a.pem"))


def asked(engine: Engine, certificate: Path) -> int:
    """The status of a prediction over HTTPS; 0 while nobody answers."""
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection("127.0.0.1", engine.port, timeout=10, context=context)
    try:
        connection.request("POST", "/churn/predict", json.dumps(ROW), {"content-type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
