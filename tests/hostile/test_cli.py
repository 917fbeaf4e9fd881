"""The command line against what people and programs do to it: C1–C20 of the hostile suite."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from handrail.faces.cli import outcome
from tests.contracts.data import customers
from tests.faces.conftest import Cli
from tests.faces.shop import HANDRAIL, process
from tests.faces.test_verbs import reviews_file, table_file
from tests.serve.bundles import ROW

BAD_NAMES = [
    "../../x",
    "a b",
    "-rf",
    "x" * 300,
    "😀",
    "a\0b",
    "",
    "A",
    "/etc/passwd",
    "a\nb",
    "churn@",
    "churn@a b",
    "churn@-1",
]


# C1, C2: the command itself


def test_no_words_give_short_help_and_status_2(cli: Cli) -> None:
    done = cli()
    assert (done.status, done.out) == (2, "")
    assert "handrail train reviews.csv" in done.err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("modles", "did you mean 'models'?"),
        ("TRAIN", "did you mean 'train'?"),
        ("", "unknown command ''"),
        ("x" * 10_000, "unknown command"),
        ("\x1b[31mred", "unknown command"),
        ("a\nb", "unknown command"),
        ("train\u202e", "did you mean 'train'?"),
    ],
)
def test_an_unknown_command_names_the_nearest(word: str, said: str, cli: Cli) -> None:
    cli(word).refused(2, said)


def test_an_unknown_word_of_models_names_the_nearest(cli: Cli) -> None:
    cli("models", "renmae", "a", "b").refused(2, "did you mean 'rename'?")


@pytest.mark.parametrize("verb", ["train", "predict", "serve", "models", "doctor"])
def test_an_unknown_option_names_the_nearest(verb: str, cli: Cli) -> None:
    cli(verb, "--jsno").refused(2, "unknown option '--jsno'; did you mean '--json'?")


def test_json_before_the_verb_is_told_its_place(cli: Cli) -> None:
    cli("--json", "doctor").refused(
        2, "unknown option '--json'", "--json stands after the verb: handrail doctor --json"
    )


@pytest.mark.parametrize("text", ["-5 off", "-5", "--great film"])
def test_a_text_that_begins_like_an_option_is_told_where_to_stand(text: str, shop: Path, cli: Cli) -> None:
    quoted = f"'{text}'" if " " in text else text
    cli("predict", "reviews", text).refused(2, f"-- {quoted}")
    assert cli("predict", "reviews", "--", text).status == 0


@pytest.mark.parametrize(
    "words", [["train"], ["predict"], ["serve"], ["report"], ["explain", "x"], ["models", "alias", "x"]]
)
def test_a_missing_word_is_named(words: list[str], cli: Cli) -> None:
    cli(*words).refused(2, "missing", "--help")


def test_an_option_without_its_value_is_a_usage_error(cli: Cli) -> None:
    cli("train", "x.csv", "--target").refused(2, "--target")


@pytest.mark.parametrize(
    "words", [["trian"], ["predict", "nothing", "x"], ["train", "gone.csv"], ["train", "--json", "--trials", "x", "y"]]
)
def test_with_json_an_error_is_one_object_too(words: list[str], home: Path, cli: Cli) -> None:
    done = cli(*words, "--json")
    assert done.object()["error"]["hint"]
    assert done.err.startswith("error: ")


# C3: files that are none


def strange_file(kind: str, folder: Path) -> str:
    """A path of this kind."""
    path = folder / f"{kind}.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        return "/dev/zero"
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "dangling":
        path.symlink_to(folder / "nowhere")
    elif kind == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path.touch(mode=0)
    elif kind == "below a file":
        (folder / "plain").touch()
        return str(folder / "plain" / "x.csv")
    elif kind == "long":
        return str(folder / ("x" * 300 + ".csv"))
    return str(path)


STRANGE = ["gone", "folder", "pipe", "device", "socket", "dangling", "unreadable", "below a file", "long"]


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("verb", ["train", "look", "evaluate", "predict"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_no_file_is_named_at_once(kind: str, verb: str, shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = strange_file(kind, tmp_path)
    words = [verb, "churn", path] if verb in ("evaluate", "predict") else [verb, path]
    done = cli(*words)
    done.refused(3, Path(path).name[:50])


@pytest.mark.parametrize("kind", ["gone", "folder", "pipe", "device", "dangling"])
def test_what_is_no_archive_is_not_imported(kind: str, home: Path, tmp_path: Path, cli: Cli) -> None:
    cli("import", strange_file(kind, tmp_path)).refused(3)
    assert not (home / "models").exists() or not list((home / "models").iterdir())


# C4 to C7: values of options


def test_a_target_that_is_no_column_names_the_closest(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path, 40))
    cli("train", path, "--target", "Lable").refused(3, "no column 'Lable'", "label")
    cli("train", path, "--kind", "txet=text").refused(3, "no column 'txet'")
    cli("train", path, "--group", "x\x1b[2J").refused(3, "no column")


@pytest.mark.parametrize("option", ["--target", "--name", "--time", "--trials", "--seed", "--test", "--separator"])
def test_an_option_given_twice_is_refused(option: str, cli: Cli) -> None:
    cli("train", "x.csv", option, "5", option, "6").refused(2, f"{option} is given twice")


def test_options_that_exclude_each_other_are_refused(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path, 40))
    cli("train", path, "--time", "5s", "--trials", "2").refused(2, "exclude")
    cli("train", path, "--kind", "text=text", "--kind", "text=category").refused(2, "two things")


@pytest.mark.parametrize("value", ["-1", "0", "1e99", "NaN", "", "2.5", "١", "9" * 50, "true", "0x10", "1_0"])
def test_numbers_out_of_range_are_told_their_range(value: str, cli: Cli) -> None:
    cli("train", "x.csv", "--trials", value).refused(2, "--trials must be a whole number from 1 to 1000, received")


@pytest.mark.parametrize("value", ["0", "-5s", "1e9", "soon", "", "5 days", "nan", "999999h", "0.5s", "٣s"])
def test_times_that_are_none_are_told_how_to_write_one(value: str, cli: Cli) -> None:
    cli("train", "x.csv", "--time", value).refused(2, "--time must be 1s to 30 days, received", "5m")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seed", "-1", "--seed must be"),
        ("--effort", "godo", "did you mean 'good'?"),
        ("--effort", "", "quick, good, best"),
        ("--test-share", "1.5", "0 to 0.9"),
        ("--test-share", "half", "0 to 0.9"),
        ("--kind", "age", "COLUMN=KIND"),
        ("--kind", "=text", "COLUMN=KIND"),
        ("--name", "../x", "a-z 0-9"),
        ("--name", "", "a model cannot be called ''"),
    ],
)
def test_other_values_are_told_what_is_wanted(option: str, value: str, said: str, home: Path, cli: Cli) -> None:
    cli("train", "x.csv", option, value).refused(2, said)


def test_unknown_kinds_tasks_and_separators_name_what_there_is(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path, 40))
    cli("train", path, "--kind", "text=txt").refused(2, "text")
    cli("train", path, "--task", "clasification").refused(2, "classification")
    cli("train", path, "--separator", "abc").refused(2, "one character")


@pytest.mark.parametrize("value", ["70000", "-1", "abc", "", "80.5", "65536"])
def test_ports_that_are_none_are_refused(value: str, shop: Path, cli: Cli) -> None:
    cli("serve", "churn", "--port", value).refused(2, "--port must be a whole number from 0 to 65535, received")


# C8, C17: where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_addresses_others_can_reach_are_refused(host: str, shop: Path, cli: Cli) -> None:
    done = cli("serve", "churn", "--host", host, "--port", "0")
    done.refused(2)


def test_a_port_that_is_taken_is_named(shop: Path, cli: Cli) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        cli("serve", "churn", "--port", str(port)).refused(5, f"port {port} is taken", "--port 0")


def test_port_0_picks_one_and_prints_it_and_ctrl_c_ends_well(shop: Path) -> None:
    words = [*HANDRAIL, "serve", "churn", "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        url = json.loads(server.stdout.readline())["url"]
        assert 0 < int(url.rstrip("/").rpartition(":")[2]) < 65_536
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) in (0, 130)
        assert b"Traceback" not in server.stderr.read()


# C9, C15: names


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("verb", ["predict", "report", "serve", "check", "export"])
def test_a_name_that_is_none_is_shown_the_pattern(verb: str, name: str, shop: Path, cli: Cli) -> None:
    words = [verb, name, "x"] if verb == "predict" else [verb, name]
    cli(*words).refused(2)


@pytest.mark.parametrize("name", BAD_NAMES[:10])
def test_no_model_gets_a_name_that_is_none(name: str, own: Path, tmp_path: Path, cli: Cli) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if "handrail.db" not in path.name)
    cli("models", "rename", "churn", name).refused(2)
    cli("models", "alias", "churn", name).refused(2)
    cli("import", "x.handrail", "--name", name).refused(2)
    assert sorted(path for path in tmp_path.rglob("*") if "handrail.db" not in path.name) == before


@pytest.mark.parametrize("name", ["churns", "churn@7", "churn@production", "nothing"])
def test_an_unknown_model_or_version_says_what_there_is(name: str, shop: Path, cli: Cli) -> None:
    for verb in ("report", "check", "serve", "export"):
        cli(verb, name).refused(4, name.split("@", maxsplit=1)[0])
    assert not Path("churns.handrail").exists()


def test_the_folder_of_a_model_nearly_named_is_offered(shop: Path, cli: Cli) -> None:
    cli("check", str(shop / "models" / "churn" / "2")).refused(2)
    folder = shop / "models" / "churn"
    (folder / "production").symlink_to(folder / "1")
    try:
        cli("check", str(folder / "prodution")).refused(2, "did you mean", "churn/production'?")
    finally:
        (folder / "production").unlink()


# C10: names that look like options or hide something


@pytest.mark.parametrize(
    "name", ["--help", "-rf.csv", "-", "a\nb.csv", "\x1b[31m.csv", "$(id).csv", "a b.csv", "\u202egpj.csv"]
)
def test_files_with_odd_names_are_files(
    name: str, shop: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table_file(tmp_path, name, "x,pro,yes\n30,pro,yes\n")
    if name == "-":
        name = "./-"
    done = cli("predict", "churn", "--", name)
    done.refused(3, "row 1")
    assert len(done.out.splitlines()) == 2
    cli("look", "--", name + "x").refused(3, "no such file")


# C11: streams that break


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["models"], ["doctor"], ["--help"], ["report", "churn", "--json"]])
def test_a_full_disk_behind_stdout_is_said(words: list[str], shop: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*HANDRAIL, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith(b"error: cannot write the output")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["models"], ["--help"], ["predict", "reviews", "-"]])
def test_a_reader_that_leaves_ends_it_quietly(words: list[str], shop: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*HANDRAIL, *words], input=b"lovely\n" * 500, stdout=theirs, stderr=subprocess.PIPE, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(("closed", "status"), [(">&-", 5), ("2>&-", 0), ("<&-", 0), ("2>&- <&-", 0)])
def test_closed_streams_do_no_harm(closed: str, status: int, shop: Path) -> None:
    line = " ".join([*HANDRAIL, "models", "--json", closed])
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr
    if status == 0:
        assert json.loads(done.stdout)


def test_nothing_on_stdin_is_said(shop: Path, cli: Cli) -> None:
    cli("predict", "reviews").refused(3, "no rows on stdin")
    cli("predict", "reviews", "-", stdin=b" \n\n").refused(3, "no rows on stdin")


@pytest.mark.parametrize(
    "stdin",
    [
        b"\0" * 100,
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"PK\x03\x04 no",
        b"PAR1 no",
        os.urandom(2_000),
        b"[1, 2",
        b'{"x": NaN}\n',
    ],
)
def test_nonsense_on_stdin_is_refused_in_words(stdin: bytes, shop: Path, cli: Cli) -> None:
    done = cli("predict", "churn", stdin=stdin)
    done.refused(3)


# C12: Ctrl-C


def test_ctrl_c_is_one_line_and_130(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handrail.model.load", interrupted)
    cli("check", "churn").refused(130, "interrupted")


def test_ctrl_c_while_training_keeps_the_best_and_a_second_one_drops_it(home: Path, tmp_path: Path) -> None:
    columns = customers(300)
    path = tmp_path / "customers.csv"
    lines = [",".join(columns), *(",".join("" if cell is None else str(cell) for cell in row)
             for row in zip(*columns.values(), strict=True))]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    words = [*HANDRAIL, "train", str(path), "--target", "churned", "--time", "10m", "--effort", "best"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        told = read_until(running, b"best so far")
        running.send_signal(signal.SIGINT)
        told += read_until(running, b"stopping")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    text = (told + err).decode()
    assert "Traceback" not in text
    assert "press Ctrl-C again" in text
    # The second one may come too late: then the best so far was saved already.
    assert running.returncode in (0, 130), text
    models = home / "models"
    left = [item.name for item in models.iterdir()] if models.exists() else []
    assert left == (["customers"] if running.returncode == 0 else [])
    assert (b"saved" in out) == (running.returncode == 0)


def read_until(running: subprocess.Popen[bytes], word: bytes) -> bytes:
    """What a process says on stderr up to a line with this word."""
    assert running.stderr is not None
    told = b""
    while word not in told:
        ready, _, _ = select.select([running.stderr], [], [], 120)
        line = running.stderr.readline() if ready else b""
        assert line, told.decode()
        told += line
    return told


# C13, C19: places one may not write


@pytest.mark.parametrize("place", ["/proc/handrail", "/dev/null/x", "file"])
def test_a_home_that_cannot_be_written_is_named(
    place: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    home = str(tmp_path / "file" if place == "file" else place)
    monkeypatch.setenv("HANDRAIL_HOME", home)
    done = cli("train", str(reviews_file(tmp_path, 60)), "--trials", "1")
    done.refused(5, home)
    if place == "/proc/handrail":
        assert cli("models").status == 0
    else:
        cli("models").refused(5, "is a file, not a folder", "set HANDRAIL_HOME")
    assert cli("doctor").status == 5


# What a power cut or a program gone wild leaves of the store


def test_a_damaged_database_is_mended_in_one_line_and_costs_no_training(own: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path, 60))
    sound = (own / "handrail.db").read_bytes()
    for damaged in (os.urandom(8192), sound[:4096] + os.urandom(len(sound) - 4096)):
        (own / "handrail.db").write_bytes(damaged)
        done = cli("train", path, "--trials", "1", "--name", "reviews")
        assert done.status == 0, done.err
        assert done.err.count("the database was damaged") == 1
    assert "reviews@3" in cli("models").out
    (own / "handrail.db").write_bytes(os.urandom(8192))
    assert "the database was damaged" in cli("doctor").err
    assert cli("doctor").err == ""


def test_a_database_of_a_newer_handrail_is_refused_before_training(own: Path, tmp_path: Path, cli: Cli) -> None:
    with contextlib.closing(sqlite3.connect(own / "handrail.db")) as database:
        database.execute("pragma user_version = 9")
    done = cli("train", str(reviews_file(tmp_path, 60)), "--trials", "1")
    done.refused(4, "of shape 9", "pip install --upgrade handrail")
    assert "judged by" not in done.err


def test_the_doctor_names_aliases_that_are_off_and_what_killed_commands_left(own: Path, cli: Cli) -> None:
    (own / "models/churn/aliases.json").write_text('{"production": 7}')
    (own / "models/reviews/aliases.json").write_text("[")
    (own / "models/.draft-x").mkdir()
    done = cli("doctor")
    assert done.status == 5
    assert "handrail models unalias churn production" in " ".join(done.out.split())
    assert "remove that file" in " ".join(done.out.split())
    assert "unfinished" in done.out
    assert cli("models", "unalias", "churn", "production").status == 0
    assert "churn@1" in cli("models").out


def test_without_any_home_the_variable_is_named(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError

    monkeypatch.delenv("HANDRAIL_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    cli("models").refused(5, "HANDRAIL_HOME")


def test_an_output_that_cannot_be_written_is_named(shop: Path, cli: Cli) -> None:
    for place in ("/proc/x.csv", "/dev/null/x.csv"):
        cli("predict", "churn", json.dumps(ROW), "-o", place).refused(5)
        cli("export", "churn", "-o", place).refused(5)
        cli("report", "churn", "-o", place).refused(5)


# C14: locales and terminals

LOCALES = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C", "LANG": "C", "COLUMNS": "1"},
    {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1", "TERM": "dumb"},
    {"COLUMNS": "-5", "LINES": "x", "TERM": ""},
]


@pytest.mark.parametrize("environment", LOCALES)
def test_any_locale_gives_the_same_answers_in_utf_8(environment: dict[str, str], shop: Path) -> None:
    done = process("predict", "reviews", "a lovely film — très joli 日本", home=shop, **environment)
    assert done.status == 0, done.err
    assert json.loads(done.out)["label"] == "good"
    shown = process("report", "reviews", home=shop, **environment)
    assert (shown.status, shown.err) == (0, "")


def test_words_that_are_not_utf_8_are_no_crash(shop: Path) -> None:
    for words in (
        ["predict", "reviews", b"lovely \xff\xfe"],
        [b"\xff"],
        ["report", b"\xe9"],
        ["look", b"/tmp/\xff.csv"],
    ):
        done = process(*words, home=shop)
        assert done.status in (0, 2, 3)
        assert "Traceback" not in done.err
        assert "our bug" not in done.err


# C20: sizes


def test_long_words_and_large_environments_are_no_crash(shop: Path, cli: Cli) -> None:
    assert cli("predict", "reviews", "lovely " * 10_000).status == 0
    cli("predict", "churn", "x" * 10_000).refused(3, "neither a file nor a JSON row")
    cli("report", "x" * 10_000).refused(2)
    cli("train", "x" * 10_000).refused(3)
    assert process("models", home=shop, LARGE="x" * 120_000).status == 0


@pytest.mark.parametrize(
    "row",
    ["{}", "[]", "[[]]", "null", "5", '{"age": 1e999}', '{"age": NaN}', '{"age": 1, "age": 2}', "[" * 5_000,
     '{"agee": 1}', '{"age": {"a": 1}, "plan": "pro", "active": true}', '{"plan": 1, "active": "\\u0000"}', "'", '"'],
)  # fmt: skip
def test_rows_that_are_none_are_refused_in_words(row: str, shop: Path, cli: Cli) -> None:
    done = cli("predict", "churn", row)
    if row == "[]":
        assert (done.status, done.out) == (0, "")
    else:
        done.refused(3)
        assert done.out == "" or all("error" in json.loads(line) for line in done.out.splitlines())


# Missing packages and our own bugs


def test_without_the_training_packages_it_says_what_to_type(
    home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cli("train", "x.csv").refused(5, 'pip install "handrail[train]"')


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ModuleNotFoundError("no", name="sklearn.base"), 5, "handrail[train]"),
        (ModuleNotFoundError("no", name="pyarrow.parquet"), 5, "handrail[parquet]"),
        (ModuleNotFoundError("no", name="handrail.nothing"), 70, "our bug"),
        (MemoryError(), 5, "memory"),
        (RecursionError("deep"), 70, "our bug"),
        (ValueError("line\nline \x1b[31m"), 70, "our bug"),
        (OSError(28, "No space left on device"), 5, "No space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_exception_becomes_two_lines(
    error: BaseException, status: int, said: str, shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("handrail.model.load", fails)
    cli("report", "churn").refused(status, said)


def test_the_traceback_is_for_those_who_ask(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in cli("--debug", "report", "nothing").err
    assert "Traceback" in cli("report", "nothing", "--debug").err
    assert "Traceback" not in cli("report", "--", "--debug").err
    monkeypatch.setenv("HANDRAIL_DEBUG", "1")
    assert "Traceback" in cli("report", "nothing").err
    assert outcome.error_of(ValueError()).code == "bug"
