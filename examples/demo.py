"""The main job on real files, end to end: train, look, ask, serve, deploy, update, go back. Run by `make demo`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
HANDRAIL = [sys.executable, "-m", "handrail"]
TEXT = "Congratulations! You have won a free prize, call now to claim"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="handrail-demo-") as home:
        environment = {**os.environ, "HANDRAIL_HOME": home}
        run("train", str(EXAMPLES / "sms_spam.csv"), "--effort", "quick", environment=environment)
        run("train", str(EXAMPLES / "penguins.csv"), "--effort", "quick", environment=environment)
        run("report", "sms-spam", environment=environment)
        run("predict", "sms-spam", TEXT, environment=environment)
        run("check", "penguins", environment=environment)
        serve(environment)
        deploy(environment)
    print("\nThat was all of it. Now with your own file: .venv/bin/handrail train FILE.csv")


def run(*words: str, environment: dict[str, str], quietly: bool = False) -> str:
    """Shows a command and what it prints; quietly: gives what it prints on stdout."""
    print(f"\n$ handrail {' '.join(word if ' ' not in word else repr(word) for word in words)}", flush=True)
    pipe = subprocess.PIPE if quietly else None
    done = subprocess.run([*HANDRAIL, *words], env=environment, check=True, text=True, stdout=pipe, stderr=pipe)
    return done.stdout or ""


def serve(environment: dict[str, str]) -> None:
    print("\n$ handrail serve sms-spam penguins --port 0", flush=True)
    words = [*HANDRAIL, "serve", "sms-spam", "penguins", "--port", "0", "--json"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"].rstrip("/")
            print(f"$ curl {url}/sms-spam/predict --json '\"{TEXT}\"'")
            print(ask(f"{url}/sms-spam/predict", TEXT))
            penguin = {"island": "Torgersen", "bill_length_mm": 39.1, "bill_depth_mm": 18.7,
                       "flipper_length_mm": 181, "body_mass_g": 3750, "sex": "MALE"}  # fmt: skip
            print(f"$ curl {url}/penguins/predict --json '{json.dumps(penguin)}'")
            print(ask(f"{url}/penguins/predict", penguin))
        finally:
            server.terminate()


def deploy(environment: dict[str, str]) -> None:
    """A second version takes over and goes again; the engine is ended whatever happens."""
    tickets = str(EXAMPLES / "deploy" / "tickets.csv")
    try:
        run("train", tickets, "--trials", "1", environment=environment, quietly=True)
        run("deploy", "tickets", "--port", "0", environment=environment)
        urls = json.loads(run("status", "--json", environment=environment, quietly=True))["apis"]
        print(f"$ curl {urls[0]['url']} --json '\"my parcel is late\"'")
        print(ask(urls[0]["url"], "my parcel is late"))
        run("train", tickets, "--trials", "1", "--seed", "1", environment=environment, quietly=True)
        run("deploy", "tickets@2", environment=environment)
        run("status", environment=environment)
        run("rollback", "tickets", environment=environment)
    finally:
        run("down", environment=environment)


def ask(url: str, row: object) -> str:
    request = urllib.request.Request(url, json.dumps(row).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    main()
