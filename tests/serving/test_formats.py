"""Each wire format with the mini suite's real instruments: what its client sends and gets."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from harmon_eval import registry, suites
from harmon_eval.files.images import decode_image
from harmon_eval.suites.mini.detector import ShapeDetector
from harmon_eval.tasks.geneval import prompts

from .servers import Running, b64, circle, of_mini, picture, running

RED = picture(circle())
PAIR = picture(circle("red", 16), circle("blue", 48, "square"))
TWO = {**prompts.counting("circle", 2)}


def score(mini: Running, *requests: tuple[str, bytes, list[str], Any]) -> Any:
    body = {
        "requests": [
            {
                "history": [{"text": text, "image_b64": b64(image)}],
                "required_rewards": names,
                "metadata": metadata,
            }
            for text, image, names, metadata in requests
        ]
    }
    found = mini.post("/score", body)
    assert found.status_code == 200, found.text
    return found.json()


def test_unirl_gets_several_rewards_with_the_headline_first(mini: Running) -> None:
    names = ["geneval", "geneval:share", "geneval:flow_grpo"]
    found = score(mini, ("a photo of a circle", RED, names, None), ("", RED, names, TWO))
    assert found["errors"] == [{}, {}]
    assert [list(own) for own in found["results"]] == [names, names]
    right, short = found["results"]
    assert right["geneval"] == {"geneval": 1.0, "share": 1.0}
    assert next(iter(right["geneval:flow_grpo"].values())) == 1.0
    assert short["geneval"] == {"geneval": 0.0, "share": 0.5}
    assert short["geneval:share"] == {"share": 0.5, "geneval": 0.0}
    assert short["geneval:flow_grpo"] == {"score": 0.5, "strict": 0.0}


def test_a_wrong_position_is_half_a_share_and_three_quarters_for_flow_grpo(mini: Running) -> None:
    asked = prompts.position("circle", "right of", "square")
    names = ["geneval", "geneval:share", "geneval:flow_grpo"]
    (found,) = score(mini, (asked["prompt"], PAIR, names, asked))["results"]
    assert found["geneval"]["geneval"] == 0
    assert found["geneval:share"]["share"] == 0.5
    assert found["geneval:flow_grpo"]["score"] == 0.75


def test_red_is_red_and_blue_is_blue(mini: Running) -> None:
    """The servers that trainers use today hand their detector red and blue swapped."""
    names = ["geneval", "geneval:flow_grpo"]
    for color, right in (("red", 1.0), ("blue", 0.0)):
        asked = prompts.colors("circle", color)
        (found,) = score(mini, (asked["prompt"], RED, names, asked))["results"]
        assert found["geneval"]["geneval"] == right
        assert found["geneval:flow_grpo"]["strict"] == right


def test_flow_factory_sends_the_prompt_alone(mini: Running) -> None:
    body = {
        "prompt": ["a photo of a circle", " a photo of a square\n"],
        "image": [b64(RED), f"data:image/png;base64,{b64(RED)}"],
        "video": None,
        "condition_images": None,
        "condition_videos": None,
    }
    found = mini.post("/compute", body)
    assert found.json() == {"rewards": [1.0, 0.0]}
    chosen = mini.post("/compute?reward=geneval:share", {**body, "metadata": [TWO, TWO]})
    assert chosen.json() == {"rewards": [0.5, 0.5]}


def test_flow_factory_gets_no_number_without_a_mark(mini: Running) -> None:
    body = {"prompt": ["a photo of a circle", "something else"], "image": [b64(RED)] * 2}
    found = mini.post("/compute", body)
    assert found.status_code == 400 and "sample 1: 'something else'" in found.json()["detail"]


def test_flow_grpo_posts_a_pickle(mini: Running) -> None:
    item = prompts.colors("circle", "blue")
    body = {"images": [RED, RED], "meta_datas": [TWO, item], "only_strict": False}
    found = mini.send("/", pickle.dumps(body))
    reply = pickle.loads(found.content)  # of this very server
    assert list(reply) == [
        *("scores", "rewards", "strict_rewards", "group_rewards", "group_strict_rewards"),
    ]
    assert reply["scores"] == [0.5, 0.5] and reply["rewards"] == [0.0, 0.0]
    assert reply["group_strict_rewards"]["counting"] == [0.0, -10.0]
    right = prompts.single("circle")
    body = {"images": [RED], "meta_datas": [right], "only_strict": True}
    reply = pickle.loads(mini.send("/", pickle.dumps(body)).content)
    assert (reply["rewards"], reply["strict_rewards"]) == ([0.0], [1.0])


def test_verl_omni_posts_a_pickle(mini: Running) -> None:
    body = {"images": [picture(circle(), form="JPEG")], "prompts": ["a photo of a circle"]}
    found = mini.send("/", pickle.dumps({**body, "metadata": {}}))
    assert pickle.loads(found.content) == {"scores": [1.0]}
    lost = mini.send("/", pickle.dumps({**body, "prompts": ["another"], "metadata": {}}))
    assert lost.status_code == 400 and "sample 0" in lost.text


def test_the_plain_form_gives_the_whole_mark_and_has_a_description(mini: Running) -> None:
    body = {
        "samples": [{"prompt": "a photo of a square", "image": b64(RED)}],
        "rewards": ["geneval"],
        "rows": True,
    }
    (mark,) = mini.post("/mark", body).json()["marks"]
    assert mark["scores"] == {"geneval": {"geneval": 0.0, "share": 0.0}}
    assert mark["rows"]["geneval"]["reason"] == "expected square>=1, found 0"
    described = mini.get("/openapi.json").json()["paths"]
    assert {"/score", "/compute", "/mark", "/health"} <= described.keys()


def test_an_empty_list_of_rewards_is_refused(mini: Running) -> None:
    body = {"samples": [{"prompt": "a photo of a square", "image": b64(RED)}], "rewards": []}
    found = mini.post("/mark", body)
    assert found.status_code == 400
    assert "rewards: the list is empty: name some of geneval" in found.json()["detail"]


def test_a_misspelt_field_is_refused_and_not_another_reward(mini: Running) -> None:
    """Else the first reward is given for another one, and a prompt's own item for metadata."""
    own = {"prompt": "a photo of a square", "image": b64(RED)}
    for body in (
        {"samples": [own], "reward": ["geneval:share"]},
        {"samples": [{**own, "metdata": TWO}], "rewards": ["geneval"]},
    ):
        found = mini.post("/mark", body)
        assert found.status_code == 422 and "Extra inputs are not permitted" in found.text
    body = {"prompt": [own["prompt"]], "image": [own["image"]]}
    found = mini.post("/compute?rewards=geneval:share", body)
    assert (found.status_code, found.json()["detail"][:8]) == (400, "rewards:")
    for wrong, said in (
        ("reward=", "unknown reward: "),
        ("reward=geneval&reward=geneval:share", "give one ?reward=NAME"),
    ):
        found = mini.post(f"/compute?{wrong}", body)
        assert found.status_code == 400 and said in found.json()["detail"]
    found = mini.post("/mark?rewards=geneval", {"samples": [own]})
    assert found.status_code == 400
    assert found.json()["detail"] == "rewards: not read from the URL: say it in the body"


def test_served_marks_are_those_of_a_run(mini: Running) -> None:
    """The detector alone, on the same pixels, finds what the stored row holds."""
    body = {"samples": [{"image": b64(PAIR), "metadata": TWO}], "rewards": ["geneval"]}
    (mark,) = mini.post("/mark", {**body, "rows": True}).json()["marks"]
    (found,) = ShapeDetector()([np.asarray(decode_image(PAIR, "x"))])
    stored = json.loads(mark["rows"]["geneval"]["detections"])
    assert stored == {name: boxes.tolist() for name, (boxes, _) in found.items()}


@pytest.mark.parametrize(
    ("name", "headline"), [("dpg", "score"), ("wise", "wiscore"), ("wise_verified", "score")]
)
def test_a_prompt_of_the_task_is_found_by_its_text_and_judged(
    mini: Running, name: str, headline: str
) -> None:
    task = registry.task(name)
    sample = next(iter(task.samples(suites.load("mini").data(name, task))))
    (found,) = score(mini, (sample.request.text, RED, [name], None))["results"]
    assert next(iter(found[name])) == headline and 0 <= found[name][headline] <= 1
    if name == "dpg":
        assert {"entity", "attribute"} & found[name].keys()


def test_wise_takes_an_explanation_and_no_missing_one(mini: Running) -> None:
    words = {"explanation": "a red circle"}
    found = score(
        mini,
        ("what a stop light shows", RED, ["wise", "wise_verified"], words),
        ("what a stop light shows", RED, ["wise"], {"explanation": None}),
        ("what a stop light shows", RED, ["wise"], None),
    )
    assert "explanation is no text" in found["errors"][1]["wise"]
    assert "no prompt of wise" in found["errors"][2]["wise"]
    given = found["results"][0].get("wise", {}) or found["errors"][0]["wise"]
    assert given  # the mini judge knows its own questions only


def test_a_task_that_asks_marks_replies(mini: Running) -> None:
    task = registry.task("mme")
    sample = next(iter(task.samples(suites.load("mini").data("mme", task))))
    body = {"samples": [{"reply": r, "metadata": {"sample": sample.id}} for r in ("yes", "no")]}
    first, second = mini.post("/mark", {**body, "rewards": ["mme"]}).json()["marks"]
    assert {first["scores"]["mme"]["correct"], second["scores"]["mme"]["correct"]} == {0.0, 1.0}
    body["samples"][0] = {"image": b64(RED), "metadata": {"sample": sample.id}}
    (lost, _) = mini.post("/mark", {**body, "rewards": ["mme"]}).json()["marks"]
    assert lost["errors"] == {"mme": "sample 0: mme marks replies"}


@pytest.mark.parametrize("path", ["/health", "/rewards", "/metrics"])
def test_what_can_be_asked_of_the_server_itself(mini: Running, path: str) -> None:
    found = mini.get(path)
    assert found.status_code == 200 and "geneval" in found.text
    assert mini.post(path, {}).status_code == 405


def test_a_path_that_is_not_there_is_told_those_that_are(mini: Running) -> None:
    found = mini.get("/nothing")
    assert found.status_code == 404
    assert "no /nothing: there are /, /compute, /health, /mark" in found.json()["detail"]


def test_an_edit_is_marked_against_the_source_of_the_benchmark(tmp_path: Path) -> None:
    task = registry.task("gedit")
    sample = next(iter(task.samples(suites.load("mini").data("gedit", task))))
    (source,) = sample.request.files
    with running(of_mini("gedit", tmp_path), tmp_path / "images") as server:
        asked = {"image": b64(source.read_bytes()), "metadata": {"sample": sample.id}}
        (mark,) = server.post("/mark", {"samples": [asked]}).json()["marks"]
    assert mark["errors"] == {} and mark["scores"]["gedit"]["SC"] < 10  # nothing was edited


def test_ocr_takes_any_prompt_with_the_text_in_quotes(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr", reason="pip install 'harmon-eval[ocr]'")
    page = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(page).text((16, 16), "Gate 12", "black", ImageFont.load_default(24))
    data = io.BytesIO()
    page.save(data, "PNG")
    own = of_mini("ocr", tmp_path, {"reader": "rapidocr"})
    with running(own, tmp_path / "images") as server:
        body = {"prompt": ['a sign that says "Gate 12"', ""], "image": [b64(data.getvalue())] * 2}
        lost = server.post("/compute", body)
        assert lost.status_code == 400 and "sample 1: the prompt is empty" in lost.text
        lost = server.post("/compute", {**body, "prompt": [body["prompt"][0], "a gate"]})
        assert lost.status_code == 400 and "sample 1: the prompt 'a gate' has no text" in lost.text
        found = server.post("/compute", {k: v[:1] for k, v in body.items()})
        assert found.json() == {"rewards": [1.0]}


def test_clipscore_needs_the_prompt_alone(tmp_path: Path) -> None:
    """The mini suite's stand-in counts shapes in image and caption."""
    with running(of_mini("clipscore", tmp_path), tmp_path / "images") as server:
        body = {"prompt": ["a red circle", "a blue square"], "image": [b64(RED)] * 2}
        right, wrong = server.post("/compute", body).json()["rewards"]
        assert right > wrong
        body = {"samples": [{"prompt": " ", "image": b64(RED)}]}
        (mark,) = server.post("/mark", body).json()["marks"]
        assert mark["scores"] == {} and "no text" in mark["errors"]["clipscore"]
