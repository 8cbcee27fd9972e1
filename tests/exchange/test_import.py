"""Logs of other tools as runs.

Those of lm-eval 0.4.13 and inspect_ai 0.3.285 in ``fixtures/logs`` were written by these tools
(of a made-up model, on questions of their own); those of lmms-eval 0.7.3 and VLMEvalKit are made
here as their sources write them.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from PIL import Image

import harmon_eval
from harmon_eval import cli, registry, suites
from harmon_eval.core import Ask, Responder, Sample
from harmon_eval.exchange.logs.lm_eval import _arguments
from harmon_eval.exchange.logs.log import LoggedSample
from harmon_eval.exchange.matching import match
from harmon_eval.report.results import Run
from harmon_eval.running.jobs import RunSettings, prepare

LOGS = Path(__file__).resolve().parents[1] / "fixtures" / "logs"


class Yes(Responder):
    name, fingerprint = "yes", "yes-1"

    def ask(self, requests: Sequence[Ask]) -> list[str]:
        return ["yes"] * len(requests)


def brought_in(log: Path, to: Path, *more: str, code: int = 0) -> Run:
    assert cli.main(["import", str(log), "--output", str(to), *more]) == code
    return harmon_eval.load(to)


def refused(log: Path, to: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["import", str(log), "--output", str(to)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: ")
    return said


# -- lm-eval -----------------------------------------------------------------------------------


def test_lm_eval_marks_are_made_again_and_its_own_stay_beside(tmp_path: Path) -> None:
    run = brought_in(LOGS / "lm-eval", tmp_path / "run")
    fruit, sums = run["vqa:imported/fruit"], run["vqa:imported/sums"]
    # The likeliest of the continuations counts as the reply, as lm-eval's acc has it.
    assert fruit.metrics["accuracy"] == 50 and fruit.metrics["acc[lm-eval]"] == 0.5
    assert list(fruit.rows["parsed"]) == ["A", "A"]
    # What a filter of lm-eval reads from a reply is what is marked.
    assert list(sums.rows["reply"]) == ["The answer is 4."] * 2
    assert sums.metrics["accuracy"] == 50 and sums.interval is not None
    assert sums.metrics["exact_match,number[lm-eval]"] == 0.5
    assert sums.metrics["stated: exact_match,number"] == 0.5
    assert "stated: exact_match,number" not in sums.intervals
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["identity"]["model"]["name"] == "team/dummy"
    assert manifest["about"]["imported"] == "lm-eval"
    assert manifest["about"]["version"] == "0.4.13"


def test_marking_again_changes_nothing(tmp_path: Path) -> None:
    before = brought_in(LOGS / "lm-eval", tmp_path / "run")["vqa:imported/sums"].metrics
    assert cli.main(["mark", str(tmp_path / "run")]) == 0
    assert harmon_eval.load(tmp_path / "run")["vqa:imported/sums"].metrics == before


def test_two_logs_are_compared_question_by_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(LOGS / "lm-eval", other)
    (file,) = other.glob("samples_sums_*")
    file.write_text(file.read_text().replace('["4"]', '["7"]').replace("is 4", "is 7"))
    brought_in(LOGS / "lm-eval", tmp_path / "a")
    brought_in(other, tmp_path / "b")
    found = harmon_eval.compare(tmp_path / "a", tmp_path / "b", tasks="vqa:imported/sums")
    assert {change.id for change in found.changed} == {"0", "1"}
    assert cli.main(["report", str(tmp_path / "a"), "--against", str(tmp_path / "b")]) == 0
    page = (tmp_path / "a" / "report.html").read_text()
    assert "3+4?" in page and "The answer is 4." in page


def test_where_our_rules_do_not_apply_the_headline_is_theirs(tmp_path: Path) -> None:
    shutil.copytree(LOGS / "lm-eval", tmp_path / "log")
    (file,) = (tmp_path / "log").glob("samples_sums_*")
    long = "four, since two and two are four and not five"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "target": long}) + "\n" for row in rows))
    run = brought_in(tmp_path / "log", tmp_path / "run")
    own = run["vqa:imported/sums+theirs"]
    assert own.headline == "exact_match,number[lm-eval]" and own.score == 0.5
    assert "accuracy" not in own.metrics


# -- inspect -----------------------------------------------------------------------------------


def test_inspect_logs_are_read_as_json_and_as_archives(tmp_path: Path) -> None:
    run = brought_in(LOGS / "inspect", tmp_path / "run")
    colours, letters = run["vqa:imported/colours"], run["vqa:imported/letters"]
    assert colours.metrics["accuracy"] == pytest.approx(200 / 3)
    assert colours.metrics["match[inspect]"] == pytest.approx(2 / 3)
    assert letters.metrics["accuracy"] == 50 == 100 * letters.metrics["stated: accuracy"]
    assert list(letters.rows["reply"]) == ["ANSWER: B"] * 2
    (picture,) = (tmp_path / "run" / "imported" / "images").iterdir()
    assert Image.open(picture).size == (1, 1)


def test_a_failed_sample_of_a_log_is_unscored_with_its_reason(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    log["samples"][0]["error"] = {"message": "rate limit", "traceback": "", "traceback_ansi": ""}
    (tmp_path / "log.json").write_text(json.dumps(log))
    run = brought_in(tmp_path / "log.json", tmp_path / "run", code=1)
    assert run["vqa:imported/colours"].unscored == {"rate limit": 1}


def test_a_thought_in_a_reply_is_not_its_answer(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    for sample in log["samples"]:
        sample["output"]["completion"] = "<think>blue or green?</think>red"
        sample["scores"] = {}
    (tmp_path / "log.json").write_text(json.dumps(log))
    rows = brought_in(tmp_path / "log.json", tmp_path / "run")["vqa:imported/colours"].rows
    assert list(rows["parsed"]) == ["red"] * 3


# -- lmms-eval ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pope() -> list[Sample]:
    job = prepare("pope", registry.task("pope"), suites.load("mini"), RunSettings())
    return list(job.everything)


def lmms_log(folder: Path, lines: Sequence[Mapping[str, Any]], task: str = "pope") -> Path:
    folder.mkdir()
    results = {
        "results": {
            task: {"alias": task, "pope_f1_score,none": 0.9, "pope_f1_score_stderr,none": "N/A"}
        },
        "configs": {task: {}},
        "higher_is_better": {task: {"pope_f1_score": True}},
        "config": {"model": "llava", "model_args": "pretrained=team/llava,device_map=auto"},
    }
    (folder / "20260102_030405_results.json").write_text(json.dumps(results))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"20260102_030405_samples_{task}.jsonl").write_text(text)
    return folder


def lmms_line(number: int, sample: Sample, reply: str) -> dict[str, Any]:
    """As of lmms-eval's POPE, whose text is the same for many pictures."""
    detail = {
        "question_id": number,
        "score": float(reply == sample.target["label"]),
        "prediction": reply,
        "ground_truth": sample.target["label"],
    }
    return {
        "doc_id": number,
        "target": sample.target["label"],
        "filtered_resps": [reply],
        "token_counts": [None],
        "doc_hash": "0",
        "pope_accuracy": detail,
        "pope_f1_score": detail,
        "input": sample.request.text,
        "input_media": [sample.target["image"]],
    }


def test_lmms_eval_on_a_known_benchmark_is_marked_by_the_benchmarks_rules(
    tmp_path: Path, pope: list[Sample]
) -> None:
    lines = [lmms_line(number, sample, "yes") for number, sample in enumerate(pope)]
    run = brought_in(lmms_log(tmp_path / "log", lines), tmp_path / "run", "--suite", "mini")
    own = harmon_eval.evaluate(Yes(), "pope", output=tmp_path / "own")["pope"]
    assert dict(run["pope"].metrics) == pytest.approx(dict(own.metrics))
    assert run["pope"].intervals == own.intervals
    beside = run["vqa:imported/pope"].metrics
    right = sum(sample.target["label"] == "yes" for sample in pope) / len(pope)
    assert beside["pope_accuracy[lmms-eval]"] == pytest.approx(right)
    assert beside["stated: pope_f1_score"] == 0.9
    found = harmon_eval.compare(tmp_path / "own", tmp_path / "run", tasks="pope", any_settings=True)
    assert found.code == 0 and len(found.changed) == 0


def test_a_question_about_several_pictures_goes_to_none_by_chance(
    tmp_path: Path, pope: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [sample.request.text for sample in pope]
    shared = next(s for s in pope if texts.count(s.request.text) > 1)
    line = {**lmms_line(0, shared, "yes"), "input_media": []}
    run = brought_in(lmms_log(tmp_path / "log", [line]), tmp_path / "run", "--suite", "mini")
    assert "pope" not in run
    assert "1 of the log fit several samples" in capsys.readouterr().err
    assert run["vqa:imported/pope"].n == 1


def test_samples_that_the_log_lacks_are_unscored(tmp_path: Path, pope: list[Sample]) -> None:
    lines = [lmms_line(number, sample, "yes") for number, sample in enumerate(pope[:20])]
    log = lmms_log(tmp_path / "log", lines)
    own = brought_in(log, tmp_path / "run", "--suite", "mini", code=1)["pope"]
    assert own.n == 20 and sum(own.unscored.values()) == len(pope) - 20


def test_a_task_of_another_name_is_named(
    tmp_path: Path, pope: list[Sample], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [lmms_line(number, sample, "yes") for number, sample in enumerate(pope)]
    log = lmms_log(tmp_path / "log", lines, "our_pope")
    run = brought_in(log, tmp_path / "run", "--suite", "mini", "--task", "our_pope=pope")
    assert run["pope"].n == len(pope)
    assert cli.main(["import", str(log), "--output", str(tmp_path / "x"), "--task", "a=pope"]) == 2
    assert "has no task 'a': it has our_pope" in capsys.readouterr().err


def test_what_was_exported_comes_back_with_the_same_numbers(tmp_path: Path) -> None:
    own = harmon_eval.evaluate(Yes(), "vqa", output=tmp_path / "own")["vqa"]
    for form in ("lm-eval", "lmms-eval", "inspect"):
        to = tmp_path / form
        assert (
            cli.main(["export", str(tmp_path / "own"), "--format", form, "--output", str(to)]) == 0
        )
        run = brought_in(to, tmp_path / f"{form}-run", "--suite", "mini")
        assert dict(run["vqa"].metrics) == pytest.approx(dict(own.metrics)), form


# -- VLMEvalKit --------------------------------------------------------------------------------


def spreadsheet(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    book = Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(file)


def vlmevalkit_rows() -> list[dict[str, Any]]:
    replies = ("B", "The answer is A.", "Failed to obtain answer via API.")
    return [
        {
            "index": number,
            "question": f"Which is picture {number}?",
            "hint": None,
            "A": "a cat",
            "B": "a dog",
            "answer": "B",
            "category": "animals",
            "prediction": reply,
        }
        for number, reply in enumerate(replies)
    ]


def test_vlmevalkit_predictions_with_their_marks_and_totals(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen_VL"
    folder.mkdir()
    rows = vlmevalkit_rows()
    spreadsheet(folder / "Qwen_VL_Animals_DEV.xlsx", rows)
    marked = [{**row, "hit": hit} for row, hit in zip(rows, (1, 0, 0), strict=True)]
    spreadsheet(folder / "Qwen_VL_Animals_DEV_openai_result.xlsx", marked)
    (folder / "Qwen_VL_Animals_DEV_acc.csv").write_text('"split","Overall"\n"dev","0.3333"\n')
    run = brought_in(folder, tmp_path / "run", code=1)
    own = run["vqa:imported/Animals_DEV"]
    assert own.metrics["accuracy"] == 50 and own.n == 2  # a failed request is no wrong answer
    assert own.unscored == {"the request failed": 1}
    assert own.metrics["hit[vlmevalkit]"] == 0.5
    assert own.metrics["stated: Overall"] == 0.3333
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["identity"]["model"]["name"] == "Qwen_VL"


# -- matching ----------------------------------------------------------------------------------


def asked(name: str, text: str, image: str, options: Mapping[str, str] | None = None) -> Sample:
    request = Ask(text, (Path(image),))
    return Sample(name, request, {"text": text, "options": dict(options or {})}, name)


def test_options_and_pictures_tell_questions_of_one_text_apart() -> None:
    text = "What is it?\nAnswer with the option's letter from the given choices directly."
    samples = [
        asked("1", text, "x/1.png", {"A": "cat", "B": "dog"}),
        asked("2", text, "x/1.png", {"A": "dog", "B": "cat"}),
        asked("3", text, "x/3.png", {"A": "cat", "B": "dog"}),
    ]
    logged = [
        LoggedSample("a", "what is  it?", [], "A", options={"A": "Dog", "B": "Cat"}),
        LoggedSample(
            "b", "What is it?", [], "B", images=["3.png"], options={"A": "cat", "B": "dog"}
        ),
        LoggedSample("c", "What is that?", [], "B"),
    ]
    found = match(samples, logged)
    assert {ours: one.id for ours, one in found.found.items()} == {"2": "a", "3": "b"}
    assert found.none == 1


def test_an_id_counts_only_with_its_question() -> None:
    samples = [asked("5", "Is it red?", "5.png"), asked("6", "Is it blue?", "6.png")]
    found = match(samples, [LoggedSample("5", "Is it blue?", [], "no")])
    assert list(found.found) == ["6"]


# -- what nobody should trust ------------------------------------------------------------------


def test_a_log_of_another_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    (tmp_path / "log.json").write_text(json.dumps({**log, "version": 3}))
    assert "version '3' of inspect_ai's log format" in refused(
        tmp_path / "log.json", tmp_path / "run", capsys
    )
    (tmp_path / "results_2026-01-01T00-00-00.0.json").write_text('{"results": {}}')
    assert "not a result of lm-eval 0.4" in refused(
        tmp_path / "results_2026-01-01T00-00-00.0.json", tmp_path / "run", capsys
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model_POPE.pkl", b"\x80\x04", "is a pickle"),
        ("log.json", b"[" * 100_000, "no sound JSON"),
        ("log.json", b'{"a": 1}', "holds no log that is known"),
        ("log.eval", b"PK", "no sound log of inspect_ai"),
        ("m_D.xlsx", b"PK", "no sound spreadsheet"),
        ("m_D.tsv", b"index\tanswer\n1\tA\n", "holds no log that is known"),
        ("log.txt", b"", "holds no log that is known"),
    ],
)
def test_what_is_no_log_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refused(tmp_path / name, tmp_path / "run", capsys)


def test_an_archive_that_unpacks_beyond_all_memory_is_not_unpacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmon_eval.exchange.logs import inspect_log

    monkeypatch.setattr(inspect_log, "MAX_FILE", 1000)
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}" + " " * 10_000)
    assert "it is not read" in refused(tmp_path / "log.eval", tmp_path / "run", capsys)


def test_no_file_that_a_log_names_is_opened_outside_the_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(_png())
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "good.png").write_bytes(_png())
    shutil.copytree(LOGS / "lm-eval", tmp_path / "log")
    (file,) = (tmp_path / "log").glob("samples_sums_*")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0]["doc"]["images"] = ["../secret.png", str(tmp_path / "secret.png")]
    rows[1]["doc"]["images"] = ["good.png"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    images = ("--images", str(tmp_path / "images"))
    brought_in(tmp_path / "log", tmp_path / "run", *images)
    lines = (tmp_path / "run" / "imported" / "sums.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["images"]) for line in lines] == [0, 1]


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_that_is_none_is_left_out(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    bad = "data:image/png;base64," + base64.b64encode(b"<script>").decode()
    log["samples"][0]["input"] = [
        {
            "role": "user",
            "content": [{"type": "image", "image": bad}, {"type": "text", "text": "?"}],
        }
    ]
    (tmp_path / "log.json").write_text(json.dumps(log))
    brought_in(tmp_path / "log.json", tmp_path / "run")
    assert not list((tmp_path / "run" / "imported").rglob("*.png"))


def test_ids_and_names_of_a_log_lead_nowhere(tmp_path: Path) -> None:
    log = json.loads((LOGS / "inspect" / "colours.json").read_text())
    log["eval"]["task"] = "../../evil"
    log["samples"][0]["id"] = "../../../etc/passwd"
    (tmp_path / "log.json").write_text(json.dumps(log))
    run = brought_in(tmp_path / "log.json", tmp_path / "run")
    (name,) = run
    assert name == "vqa:imported/evil"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.json", "run"]


def test_two_logs_of_one_task_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.json", "b.json"):
        shutil.copy(LOGS / "inspect" / "colours.json", tmp_path / name)
    assert "holds two logs of 'colours'" in refused(tmp_path, tmp_path / "run", capsys)


@pytest.mark.parametrize("value", [7, "text", None, True])
def test_arguments_that_are_no_list_hold_no_request(value: object) -> None:
    """A log is untrusted: a number there is no traceback."""
    assert _arguments(value) == []
    assert _arguments([["question", " yes"]]) == [("question", " yes")]
