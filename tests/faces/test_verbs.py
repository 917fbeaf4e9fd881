"""What each verb says when all is well, and that --json is one object."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from handrail.training.importing import import_onnx
from tests.contracts.data import reviews
from tests.faces.conftest import Cli
from tests.serve.bundles import ROW, ROWS
from tests.tasks.test_tensors import saved as saved_graph


def reviews_file(folder: Path, rows: int = 160) -> Path:
    path = folder / "my reviews.csv"
    columns = reviews(rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def table_file(folder: Path, name: str = "rows.csv", rows: str = "30,pro,yes\n50,basic,no\n") -> Path:
    path = folder / name
    path.write_text("age,plan,active\n" + rows)
    return path


def test_train_saves_a_model_and_says_what_to_type_next(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path))
    done = cli("train", path, "--trials", "1")
    assert done.status == 0, done.err
    assert "my-reviews@1 saved" in done.out
    assert "never seen in training" in done.out
    example = done.out.splitlines()[-1]
    assert example.startswith("next: handrail predict my-reviews ")
    assert "judged by" in done.err
    assert "✓ n-grams" in done.err
    assert "\x1b" not in done.out + done.err
    again = cli("train", path, "--trials", "1", "--json", "--name", "other", "--target", "label").object()
    assert again["model"] == "other@1"
    assert again["target"] == "label"
    assert again["score"]["low"] <= again["score"]["value"] <= again["score"]["high"]
    assert cli("models", "--json").object()["models"][0]["name"] == "my-reviews"


def test_look_says_what_train_would_do_and_writes_nothing(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path))
    done = cli("look", path)
    assert done.status == 0
    assert "160 rows, 2 columns" in done.out
    assert "judged by" in done.out
    found = cli("look", path, "--json").object()
    assert found["target"] == "label"
    assert found["plan"]["task"] == "text-classification"
    assert not home.exists()


def test_a_text_is_answered_with_one_line_of_json(shop: Path, cli: Cli) -> None:
    done = cli("predict", "reviews", "a lovely film, superb music")
    assert done.err == ""
    assert json.loads(done.out)["label"] == "good"
    whole = cli("predict", "reviews", "a lovely film", "--json").object()
    assert whole["model"] == "reviews@1"
    assert [answer["label"] for answer in whole["answers"]] == ["good"]
    assert whole["errors"] == []


def test_several_texts_are_answered_in_their_order(shop: Path, cli: Cli) -> None:
    lines = cli("predict", "reviews", "lovely, a joy", "dull, awful").out.splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["good", "bad"]


@pytest.mark.parametrize(
    "stdin",
    [
        b"lovely, a joy\ndull and awful\n",
        b'"lovely, a joy"\n"dull and awful"\n',
        b'{"text": "lovely, a joy"}\n{"text": "dull and awful"}\n',
        b'[{"text": "lovely, a joy"}, "dull and awful"]',
        b'text\n"lovely, a joy"\n"dull and awful"\n',
        b'\xef\xbb\xbfid,text\r\n1,"lovely, a joy"\r\n2,"dull and awful"\r\n',
    ],
)
def test_stdin_holds_lines_json_lines_or_csv(stdin: bytes, shop: Path, cli: Cli) -> None:
    for words in (["predict", "reviews"], ["predict", "reviews", "-"]):
        done = cli(*words, stdin=stdin)
        assert done.status == 0, done.err
        assert [json.loads(line)["label"] for line in done.out.splitlines()] == ["good", "bad"]


def test_a_json_row_a_list_and_a_file_give_the_same_answer(shop: Path, tmp_path: Path, cli: Cli) -> None:
    row = cli("predict", "churn", json.dumps(ROW)).out
    assert cli("predict", "churn", json.dumps([ROW])).out == row
    assert cli("predict", "churn", str(table_file(tmp_path, rows="30,pro,yes\n"))).out == row
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(ROW) + "\n")
    assert cli("predict", "churn", str(lines)).out == row


def test_rows_that_are_off_are_named_and_the_others_answered(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = table_file(tmp_path, rows="30,pro,yes\nold,pro,yes\n50,basic,no\n40,pro,perhaps\n")
    done = cli("predict", "churn", str(path))
    done.refused(3, "row 2 (line 3)", "'old'", "row 4 (line 5)", "'perhaps'", "2 of 4 rows")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert ["error" in answer for answer in answers] == [False, True, False, True]
    whole = cli("predict", "churn", str(path), "--json")
    assert whole.status == 3
    assert [error["row"] for error in whole.object()["errors"]] == [2, 4]
    rows = json.dumps([ROWS[0], {"age": "x", "plan": "pro", "active": True}, {"plan": "pro"}])
    assert cli("predict", "churn", rows, "--json").object()["errors"][1]["message"] == "field 'active' is missing"


def test_a_file_is_answered_as_its_rows_are(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = table_file(tmp_path, rows="30,pro,yes\n40,pro,\n,pro,yes\n")
    done = cli("predict", "churn", str(path))
    done.refused(3, "row 2 (line 3)", "column 'active'", "received an empty text", "1 of 3 rows was not answered")
    assert ["error" in json.loads(line) for line in done.out.splitlines()] == [False, True, False]
    short = tmp_path / "short.csv"
    short.write_text("plan,active\npro,yes\n")
    assert cli("predict", "churn", str(short)).out == cli("predict", "churn", '{"plan": "pro", "active": true}').out


def test_each_problem_of_a_row_names_that_row(shop: Path, cli: Cli) -> None:
    done = cli("predict", "churn", json.dumps(ROW), '{"x": 1}')
    done.refused(3, "row 2: field 'plan' is missing; field 'active' is missing; no field is called 'x'")
    assert "row 1" not in done.err


def test_a_file_with_a_header_only_is_told_what_to_add(shop: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("predict", "churn", str(table_file(tmp_path, rows="")))
    done.refused(3, "there is only a header", "add rows below it")


def test_an_output_that_cannot_be_is_refused_before_the_work(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(table_file(tmp_path))
    done = cli("predict", "nothing", path, "-o", "answers.txt")
    done.refused(2, "cannot write '.txt'", "-o answers.csv")
    for verb in ("predict", "report", "export"):
        words = [verb, "churn", path] if verb == "predict" else [verb, "churn"]
        cli(*words, "-o", str(tmp_path / "no" / "o.csv")).refused(5, "there is no folder", "mkdir -p")
    assert not (tmp_path / "no").exists()


def test_answers_are_written_beside_their_rows(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = table_file(tmp_path)
    done = cli("predict", "churn", str(path), "-o", str(tmp_path / "out.csv"))
    assert (done.status, done.out) == (0, "")
    assert "wrote 2 answers to " in done.err
    cli("predict", "churn", str(path), "-o", str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ["age", "plan", "active", "predicted_churned", "probability", "probability_no", "probability_yes"]
    assert list(rows[0]) == names
    assert [row["age"] for row in rows] == ["30", "50"]
    cli("predict", "churn", str(path), "-o", str(tmp_path / "out.jsonl"))
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    cli("predict", "churn", str(path), "-o", str(tmp_path / "out.xlsx")).refused(2, "-o answers.csv")


def test_formulas_in_a_csv_are_disarmed_unless_raw(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = table_file(tmp_path, rows="30,=cmd|' /C calc'!A0,yes\n-5,@SUM(A1),no\n")
    cli("predict", "churn", str(path), "-o", str(tmp_path / "safe.csv"))
    with (tmp_path / "safe.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["plan"] for row in rows] == ["'=cmd|' /C calc'!A0", "'@SUM(A1)"]
    assert rows[1]["age"] == "-5"
    cli("predict", "churn", str(path), "-o", str(tmp_path / "raw.csv"), "--raw")
    assert ",@SUM(A1)," in (tmp_path / "raw.csv").read_text()


def test_an_answer_is_explained(shop: Path, cli: Cli) -> None:
    done = cli("explain", "reviews", "a lovely film")
    assert "lovely" in done.out
    assert "+" in done.out
    assert cli("explain", "reviews", "a lovely film", "--json").object()["words"]
    assert cli("explain", "churn", json.dumps(ROW), "--json").object()["contributions"]
    cli("explain", "churn", json.dumps([ROW])).refused(2, "one row")


def test_the_report_is_shown_and_written(shop: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("report", "reviews")
    assert "per label" in done.out
    assert "--open" in done.out
    assert cli("report", "reviews", "--json").object()["score"]["metrics"]
    cli("report", "reviews", "-o", str(tmp_path / "r.html"))
    assert (tmp_path / "r.html").read_bytes().startswith(b"<!doctype html>")


def test_open_shows_the_page_or_says_where_it_is(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or True)
    assert cli("report", "reviews", "--open").status == 0
    assert shown[0].startswith("file://")
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    cli("report", "reviews", "--open").refused(5, "reviews-1.html")


def test_a_model_is_evaluated_on_other_rows(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path, 40))
    done = cli("evaluate", "reviews", path)
    assert "Accuracy" in done.out
    found = cli("evaluate", "reviews", path, "--json").object()
    assert (found["rows"], found["warnings"]) == (40, [])


def test_the_rows_it_was_trained_with_are_recognised(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path, 60))
    cli("train", path, "--trials", "1", "--name", "reviews")
    assert "! these are the rows it was trained with" in cli("evaluate", "reviews", path).out
    assert len(cli("evaluate", "reviews", path, "--json").object()["warnings"]) == 1


def test_a_cell_that_is_off_gets_no_mend_that_evaluate_has_not(shop: Path, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("age,plan,active,churned\nold,pro,yes,no\n")
    done = cli("evaluate", "churn", str(path))
    done.refused(3, "row 1, column 'age'", "mend that cell")
    assert "--kind" not in done.err


def test_a_check_says_what_was_checked(shop: Path, cli: Cli) -> None:
    done = cli("check", "reviews")
    assert "10 examples answered again" in done.out
    assert cli("check", "churn", "--json").object()["ok"] is True


def test_models_are_listed_shown_renamed_aliased_and_removed(own: Path, cli: Cli) -> None:
    assert "churn@1" in cli("models").out
    assert cli("models", "list").out == cli("models").out
    assert cli("models", "--json", "list").object() == cli("models", "list", "--json").object()
    assert cli("models", "--json", "show", "churn").object()["name"] == "churn"
    assert "goes in" in cli("models", "show", "churn").out
    assert cli("models", "show", "churn", "--json").object()["manifest"]["task"] == "tabular-classification"
    assert cli("models", "alias", "churn@1", "production").out == "churn@production is churn@1\n"
    assert cli("predict", "churn@production", json.dumps(ROW), "--json").object()["model"] == "churn@1"
    assert cli("models", "unalias", "churn", "production").status == 0
    assert cli("models", "rename", "churn", "leavers", "--json").object() == {"old": "churn", "new": "leavers"}
    cli("models", "remove", "leavers").refused(2, "--yes")
    assert cli("models", "remove", "leavers@1", "--yes", "--json").object()["removed"] == [1]
    assert [one["name"] for one in cli("models", "--json").object()["models"]] == ["reviews"]


def test_an_empty_store_says_how_to_begin(home: Path, cli: Cli) -> None:
    assert "handrail train FILE" in cli("models").out
    assert not home.exists()


def test_a_model_travels_as_one_file(own: Path, tmp_path: Path, cli: Cli) -> None:
    archive = tmp_path / "a.handrail"
    assert cli("export", "churn", "-o", str(archive), "--json").object()["bytes"] == archive.stat().st_size
    assert cli("import", str(archive), "--name", "again", "--json").object()["model"] == "again@1"
    assert "imported and checked" in cli("import", str(archive)).out
    assert cli("predict", "again", json.dumps(ROW)).out == cli("predict", "churn", json.dumps(ROW)).out


def test_a_bundles_folder_is_a_model_too(shop: Path, cli: Cli) -> None:
    folder = str(shop / "models" / "churn" / "1")
    assert cli("predict", folder, json.dumps(ROW)).out == cli("predict", "churn", json.dumps(ROW)).out
    assert cli("check", folder).status == 0


def test_the_doctor_knows_what_is_there_and_what_is_not(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cli("doctor")
    assert done.status == 0, done.out
    assert "all is well" in done.out
    assert "1 finished training remembered" in done.out
    found = cli("doctor", "--json").object()
    assert found["ok"] is True
    assert {"machine", "packages", "store"} < set(found)


def test_the_doctor_names_a_damaged_model(own: Path, cli: Cli) -> None:
    (own / "models" / "churn" / "1" / "manifest.json").write_text("{}")
    done = cli("doctor")
    assert done.status == 5
    assert "✗ churn@1" in done.out
    assert "handrail models remove churn@1 --yes" in done.out
    assert cli("doctor", "--json").object()["ok"] is False


def test_vectors_are_written_to_a_file_a_number_a_column(home: Path, tmp_path: Path, cli: Cli) -> None:
    import_onnx(saved_graph(tmp_path / "product.onnx"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"x": [1, 2, 3, 4.5]}\n{"x": [0, 0, 0, 0]}\n{"x": [1]}\n')
    done = cli("predict", "product", str(rows), "-o", str(tmp_path / "answers.csv"))
    assert done.status == 3
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines[0] == "x,y_0,y_1,y_2,error"
    assert lines[2].endswith(",0.0,0.0,0.0,")
    assert "expected a list of 4 numbers" in lines[3]
    done = cli("predict", "product", str(table_file(tmp_path)))
    done.refused(2, "holds no vectors", ".jsonl")


def test_training_says_before_it_starts_what_it_predicts_and_why(home: Path, tmp_path: Path, cli: Cli) -> None:
    path = str(reviews_file(tmp_path))
    done = cli("train", path, "--trials", "1", "--name", "guessed")
    assert "target     'label': its name is 'label'; --target says otherwise" in done.err
    done = cli("train", path, "--trials", "1", "--target", "label", "--name", "asked")
    assert "target     'label': you said so" in done.err
