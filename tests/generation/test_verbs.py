"""`handrail generate`, `chat` and `import`, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from handrail.faces.cli.imports import put_made
from handrail.faces.cli.printing import safe
from handrail.faces.cli.writing import Lines
from handrail.generate.pieces import Piece
from handrail.store import Store
from handrail.training.generating import keep_decoder
from tests.catalog.test_decoders import folder
from tests.faces.conftest import Cli, cli  # noqa: F401
from tests.generation.test_bundle import base
from tests.generation_bundles import generation_bundle

PROMPT = ("--prompt", "The ship", "--seed", "5", "--max-tokens", "12")


@pytest.fixture(scope="module")
def stocked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a model that was taught to chat and one that was not: only to be read."""
    home = tmp_path_factory.mktemp("stocked") / "home"
    plain = generation_bundle(tmp_path_factory.mktemp("plain") / "plain", name="plain", template=None, window=200)
    for name, source in {"tiny": bundle, "plain": plain}.items():
        store = Store(home)
        with store.draft() as draft:
            shutil.copytree(source, draft, dirs_exist_ok=True)
            store.publish(draft, name)
    return home


@pytest.fixture(autouse=True)
def home(stocked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANDRAIL_HOME", str(stocked))
    return stocked


def answers(out: str) -> list[str]:
    return [answer["text"] for answer in json.loads(out)["answers"]]


def test_a_text_comes_to_stdout_and_talk_to_stderr(cli: Cli) -> None:  # noqa: F811
    done = cli("generate", "tiny", *PROMPT)
    assert done.status == 0 and "tokens in" in done.err and "tokens in" not in done.out
    (text,) = answers(cli("generate", "tiny", *PROMPT, "--json").out)
    assert safe(text) + "\n" == done.out


def test_the_same_seed_writes_the_same_text_again(cli: Cli) -> None:  # noqa: F811
    assert cli("generate", "tiny", *PROMPT).out == cli("generate", "tiny", *PROMPT).out


def test_several_texts_are_set_apart(cli: Cli) -> None:  # noqa: F811
    done = cli("generate", "tiny", *PROMPT, "-n", "3")
    assert done.out.count("=" * 20) == 2 and done.err.count("tokens in") == 3
    assert len(set(answers(cli("generate", "tiny", *PROMPT, "-n", "3", "--json").out))) == 3


def test_a_prompt_is_kept_where_that_is_asked_for(cli: Cli) -> None:  # noqa: F811
    assert cli("generate", "tiny", *PROMPT, "--include-prompt").out.startswith("The ship")
    assert not cli("generate", "tiny", *PROMPT).out.startswith("The ship")


def test_prompts_of_a_file_are_answered_in_order_as_json_lines(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    prompts = [f"Ship {place}" for place in range(70)]
    file = tmp_path / "prompts.txt"
    file.write_text("\n\n".join(prompts))
    done = cli("generate", "tiny", "--file", str(file), "--max-tokens", "3", "--seed", "1")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["prompt"] for row in rows] == prompts and all(row["usage"] for row in rows)
    piped = cli("generate", "tiny", "--file", "-", "--max-tokens", "3", "--seed", "1", "-n", "2", stdin=b"Ship 0\n")
    assert len(piped.out.splitlines()) == 2


def test_files_are_written_beside_those_that_are_there(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    gen = tmp_path / "gen"
    for _ in range(2):
        done = cli("generate", "tiny", *PROMPT, "--nfiles", "3", "-n", "2", "--folder", str(gen))
        assert done.status == 0
    files = sorted(gen.iterdir())
    assert len(files) == 6 and all("=" * 20 in file.read_text() for file in files)
    assert len({file.read_text() for file in files[:3]}) == 3
    assert [file.read_text() for file in files[:3]] == [file.read_text() for file in files[3:]]


def test_ctrl_c_ends_with_what_is_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    from handrail.model import Model

    def broken_off(*_: object, **__: object) -> object:
        yield Piece(1, 0, "so far")
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "stream", broken_off)
    done = cli("generate", "tiny", *PROMPT)
    assert done.status == 130 and done.out == "so far\n" and "stopped" in done.err and "Traceback" not in done.err


USAGE: dict[str, list[str]] = {
    "no tokens": ["--max-tokens", "0"],
    "too many tokens": ["--max-tokens", "2147483648"],
    "fewer than none": ["--max-tokens", "-1"],
    "a temperature that is none": ["--temperature", "nan"],
    "an endless temperature": ["--temperature", "inf"],
    "a temperature given twice": ["--temperature", "1", "--temperature", "2"],
    "too many texts": ["-n", "100000"],
    "a seed that is none": ["--seed", "x"],
    "a share beyond one": ["--top-p", "1.1"],
    "an option that is misspelt": ["--temprature", "1"],
    "two sources of prompts": ["--prompt", "x", "--file", "y"],
    "a folder for nothing": ["--folder", "x"],
}


@pytest.mark.parametrize("what", USAGE)
def test_options_that_are_off_are_usage(cli: Cli, what: str) -> None:  # noqa: F811
    done = cli("generate", "tiny", *USAGE[what])
    assert done.status == 2 and "hint:" in done.err and not done.out


def test_stop_texts_by_the_thousand_are_refused(cli: Cli) -> None:  # noqa: F811
    many = [word for place in range(1_000) for word in ("--stop", f"s{place}")]
    done = cli("generate", "tiny", *many)
    assert done.status == 3 and "stop" in done.err


def test_a_stop_text_ends_the_text(cli: Cli) -> None:  # noqa: F811
    (text,) = answers(cli("generate", "tiny", *PROMPT, "--json").out)
    (cut,) = answers(cli("generate", "tiny", *PROMPT, "--stop", text[4:6], "--json").out)
    assert text.startswith(cut) and len(cut) <= 4


@pytest.mark.parametrize("verb", ["generate", "chat"])
def test_with_no_model_named_it_is_said_what_to_type(
    cli: Cli, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    done = cli(verb)
    assert done.status == 2 and f"handrail {verb} plain" in done.err
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path / "empty"))
    assert "handrail import smollm2" in cli(verb).err
    assert "handrail import smollm2" in cli(verb, "smollm2").err


def test_an_empty_file_of_prompts_is_told(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "empty.txt").write_text("\n\n")
    done = cli("generate", "tiny", "--file", str(tmp_path / "empty.txt"))
    assert done.status == 3 and "the file is empty" in done.err


def test_a_talk_in_a_pipe_has_history_and_commands(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    kept = tmp_path / "talk.json"
    lines = f"Hello\n\nAnd you?\n/save {kept}\n/nonsense\n/system\n/help\n/reset\nAgain\n/quit\nnever\n"
    done = cli("chat", "tiny", "--system", "Be brief.", "--max-tokens", "4", "--json", stdin=lines.encode())
    assert done.status == 0
    saved = json.loads(kept.read_text())
    assert [message["role"] for message in saved] == ["system", "user", "assistant", "user", "assistant"]
    assert "no command is called /nonsense" in done.err and "/reset" in done.err and "needs a word more" in done.err
    messages = json.loads(done.out.splitlines()[-1])["messages"]
    assert [message["content"] for message in messages[:2]] == ["Be brief.", "Again"]


def test_a_talk_that_was_saved_goes_on(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "talk.json"
    for _ in range(2):
        done = cli("chat", "tiny", "--save", str(file), "--max-tokens", "3", stdin=b"Hello\n")
        assert done.status == 0
    assert len(json.loads(file.read_text())) == 4 and "going on with 2 messages" in done.err
    file.write_text('{"a": 1}')
    done = cli("chat", "tiny", "--save", str(file), stdin=b"Hello\n")
    assert done.status == 3 and file.read_text() == '{"a": 1}'


def test_the_oldest_messages_leave_a_full_window_and_that_is_said(cli: Cli) -> None:  # noqa: F811
    lines = "".join(f"This is message {place} of many, and it is not short.\n" for place in range(12))
    done = cli("chat", "tiny", "--system", "S", "--max-tokens", "8", stdin=lines.encode())
    assert done.status == 0 and "left out" in done.err and "error" not in done.err


def test_a_model_that_was_not_taught_to_chat_says_so(cli: Cli) -> None:  # noqa: F811
    done = cli("chat", "plain", "--max-tokens", "3", stdin=b"Hello\n")
    assert done.status == 0 and "was not taught to chat" in done.err


def test_a_model_of_an_earlier_version_is_shown_without_a_perplexity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    model = keep_decoder(base(), "tiny", home=home)
    for row in model.manifest.data["precision"]:
        del row["perplexity"]
    put_made(model)
    assert "int8" in (out := capsys.readouterr().out) and "–" in out


def test_a_folder_is_imported_and_said_to_be_what_it_is(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path / "home"))
    source = folder(tmp_path / "My Model")
    done = cli("import", str(source), "--bits", "8", "--window", "64")
    assert done.status == 0 and "my-model@1 imported" in done.out
    for word in ("licence", "bits per byte", "float32", "int8", "64 tokens"):
        assert word in done.out
    shown = cli("models", "show", "my-model")
    assert "bits per byte" in shown.out and "perplexity" in shown.out and "text" in shown.out
    assert "examples foreseen" in cli("check", "my-model").out
    (tmp_path / "text.txt").write_text("The ship was ready, and the sea was calm.")
    assert "bits per byte" in cli("evaluate", "my-model", str(tmp_path / "text.txt")).out


def test_another_chat_template_is_taken_where_it_works(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv("HANDRAIL_HOME", str(tmp_path / "home"))
    template, source = tmp_path / "t.jinja", str(folder(tmp_path / "m"))
    for faulty in ("{% for %}", "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"):
        template.write_text(faulty)
        done = cli("import", source, "--chat-template", str(template))
        assert done.status == 4 and "chat template" in done.err
    template.write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    assert cli("import", source, "--chat-template", str(template), "--bits", "32").status == 0
    assert cli("chat", "m", "--max-tokens", "2", stdin=b"Hello\n").status == 0


@pytest.mark.parametrize("words", [["--bits", "16"], ["--window", "1"], ["--name", "../x"]])
def test_options_of_an_import_that_are_off_are_usage(cli: Cli, tmp_path: Path, words: list[str]) -> None:  # noqa: F811
    done = cli("import", str(folder(tmp_path / "m")), *words)
    assert done.status == 2 and "hint:" in done.err


def test_options_of_models_that_write_are_refused_for_others(cli: Cli) -> None:  # noqa: F811
    done = cli("import", "minilm", "--bits", "4")
    assert done.status == 2 and "--bits is for models that write" in done.err


def test_a_text_that_was_written_cannot_steer_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    from handrail.model import Model

    monkeypatch.setattr(Model, "stream", lambda *_, **__: (piece for piece in [Piece(1, 0, "a\033[2Jb")]))
    assert "\033" not in cli("generate", "tiny", *PROMPT).out


def test_a_text_measured_and_a_bundle_are_json_too(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "text.txt").write_text("The ship was ready.")
    found = json.loads(cli("evaluate", "tiny", str(tmp_path / "text.txt"), "--json").out)
    assert found["bits_per_byte"] > 0 and found["model"] == "tiny@1"
    assert json.loads(cli("predict", "tiny", "The", "--json").out)["answers"][0]["text"]


def test_lines_break_between_words_whatever_the_pieces_are() -> None:
    text = "The quick brown fox jumps\nover the lazy dog and runs away " + "日本語" * 30
    for size in (1, 3, 100):
        lines = Lines(20)
        shown = "".join(lines.feed(text[start : start + size]) for start in range(0, len(text), size)) + lines.flush()
        assert "".join(shown.split()) == "".join(text.split())
        assert all(len(line.rstrip()) <= 20 for line in shown.split("日")[0].splitlines())
        assert "quick brown fox \njumps\nover" in shown
    assert Lines(0).feed("a b") == "a b"
