"""A transformers vision-language model end to end: a random LLaVA of a few thousand weights."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from judge_server import Act, completion, serving
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from harmon_eval import registry
from harmon_eval.adapters.openai import OpenAIResponder, Patience
from harmon_eval.adapters.vlm import Settings, VisionLanguageResponder, conversation, open_model
from harmon_eval.core import Ask, Score, Unscorable, UserError
from harmon_eval.replies.probabilities import First, Whole, read

WORDS = ["<pad>", "<s>", "</s>", "<image>", "<unk>", *"abcdefghijklmnopqrstuvwxyz?.:"]
TEMPLATE = (
    "{% for turn in messages %}{{ turn['role'] }} : {% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant : {% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("llava")
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(place)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=16,
    )
    text = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.5,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=3)
    LlavaForConditionalGeneration(config).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> VisionLanguageResponder:
    return open_model(str(folder), Settings(device="cpu"))


@pytest.fixture
def asks(tmp_path: Path) -> list[Ask]:
    for color in ("red", "blue"):
        Image.new("RGB", (20, 12), color).save(tmp_path / f"{color}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    return [
        Ask("is it red?", (tmp_path / "red.png",), max_new_tokens=6),
        Ask("what?", (tmp_path / "blue.png",), max_new_tokens=3),
        Ask("hello", max_new_tokens=6),
        Ask("a longer question?", (tmp_path / "red.png",), max_new_tokens=6, system="be brief"),
        Ask("what?", (tmp_path / "broken.png",), max_new_tokens=6),
    ]


def test_a_batch_is_answered_as_one_by_one_and_in_any_order(
    model: VisionLanguageResponder, asks: list[Ask]
) -> None:
    good = asks[:4]
    together = model.ask(good)
    assert together == [model.ask([ask])[0] for ask in good]
    assert together == model.ask(good[::-1])[::-1]
    assert all(isinstance(reply, str) for reply in together) and any(together)


def test_images_stand_at_their_markers_and_all_of_them_are_seen(
    model: VisionLanguageResponder, tmp_path: Path, asks: list[Ask]
) -> None:
    files = (tmp_path / "red.png", tmp_path / "blue.png")
    marked = Ask("is <image 1> or <image 2> red?", files, max_new_tokens=3)
    content = conversation(marked)[0]["content"]
    assert [part["type"] for part in content] == ["text", "image", "text", "image", "text"]
    assert isinstance(model.ask([marked])[0], str)
    plain = conversation(Ask("is it red?", files[:1]))[0]["content"]
    assert [part["type"] for part in plain] == ["image", "text"]


def test_the_reply_holds_neither_the_prompt_nor_special_tokens(
    model: VisionLanguageResponder, asks: list[Ask]
) -> None:
    for reply in model.ask(asks[:2]):
        assert "assistant" not in str(reply).replace(" ", "") and "<" not in str(reply)
    long = model.ask([asks[0]])[0]
    short = model.ask([Ask(asks[0].question, asks[0].images, max_new_tokens=2)])[0]
    assert str(long).startswith(str(short))


def test_a_broken_image_fails_alone(model: VisionLanguageResponder, asks: list[Ask]) -> None:
    *good, broken = model.ask(asks)
    assert isinstance(broken, Unscorable) and good == model.ask(asks[:4])


def test_it_judges_under_a_name_of_its_weights(folder: Path, asks: list[Ask]) -> None:
    judge = registry.instrument("judge", f"vlm:{folder}", Path, {"device": "cpu"})
    given = [Ask("is it red?", asks[0].images, max_new_tokens=n) for n in range(1, 40)]
    found = judge.verdicts(given, lambda reply: reply)
    for verdict, reply in zip(found, judge.responder.ask(given), strict=True):
        if reply.cut or not reply:  # as is to be expected of random weights
            assert isinstance(verdict, Unscorable) and "gave no verdict" in str(verdict)
        else:
            assert verdict.value == reply
    assert judge.name.startswith(f"vlm:{folder.name}-")
    assert judge.responder.fingerprint in judge.identity


def test_what_its_own_configuration_does_to_greedy_decoding_is_in_the_settings(
    folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "llava"
    shutil.copytree(folder, place)
    own = {"do_sample": True, "temperature": 0.7, "repetition_penalty": 1.05}
    (place / "generation_config.json").write_text(json.dumps(own))
    expected = {"decoding": "greedy", "repetition_penalty": 1.05, "dtype": "float32"}
    assert open_model(str(place), Settings(device="cpu")).settings == expected
    assert "repetition_penalty" not in open_model(str(folder), Settings(device="cpu")).settings


def test_what_cannot_be_opened_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no vision-language model"):
        open_model(str(tmp_path), Settings())
    with pytest.raises(UserError, match=r"no setting 'cfg' \(decoding is greedy\)"):
        registry.model(f"vlm:{folder}", {"cfg": 1.0})
    with pytest.raises(UserError, match="needs a folder or hub id"):
        open_model("", Settings())


def test_options_score_as_in_a_plain_forward_pass_over_question_and_option(folder: Path) -> None:
    responder = open_model(str(folder), Settings())
    picture = folder / "scored.png"
    Image.new("RGB", (20, 14), (200, 30, 60)).save(picture)
    options = (("yes",), ("no",), ("not at all",))
    request = Score("is it red?", options, (picture,), kind="whole")
    alone = Score("is it red?", options, kind="whole")
    tokenizer = responder.processor.tokenizer
    for asked in (request, alone):
        (reply,) = responder.score([asked])
        assert isinstance(reply, str)
        found = read(reply, 3)
        assert isinstance(found, Whole)
        text = responder.processor.apply_chat_template(
            conversation(Ask(asked.question, asked.images)),
            add_generation_prompt=True,
            tokenize=False,
        )
        shown = {"images": [[Image.open(picture)]]} if asked.images else {}
        for (option,), own in zip(options, found.with_ends(), strict=True):
            inputs = responder.processor(text=[text], return_tensors="pt", **shown)
            ids = [*tokenizer(option, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
            whole = torch.cat([inputs["input_ids"], torch.tensor([ids])], 1)
            inputs["attention_mask"] = torch.ones_like(whole)
            inputs["input_ids"] = whole
            logits = responder.model(**inputs).logits[0, -len(ids) - 1 : -1].log_softmax(-1)
            plain = [float(logits[k, token]) for k, token in enumerate(ids)]
            assert own == pytest.approx(plain, abs=1e-4)


def test_a_server_of_the_same_weights_gives_the_same_numbers(folder: Path) -> None:
    """Over HTTP in vLLM's form: the template opens and closes the turns, every number is of the
    network."""
    responder = open_model(str(folder), Settings(device="cpu"))
    processor = responder.processor
    processor.chat_template = TEMPLATE.replace(
        "{% endfor %}{% endfor %}",
        "{% endfor %}{% if turn['role'] == 'assistant' %}</s>{% endif %}{% endfor %}",
    ).replace("{{ part['text'] }} ", "{{ part['text'] }}")
    picture = folder / "served.png"
    Image.new("RGB", (20, 14), (200, 30, 60)).save(picture)

    def act(number: int, body: dict[str, Any]) -> Act:
        turns, images = [], []
        for turn in body["messages"]:
            given = turn["content"]
            parts = [{"type": "text", "text": given}] if isinstance(given, str) else given
            for part in parts:
                if part["type"] == "image_url":
                    data = part["image_url"]["url"].partition(",")[2]
                    images.append(Image.open(io.BytesIO(base64.b64decode(data))))
            kinds = ({"image_url": {"type": "image"}}.get(part["type"], part) for part in parts)
            turns.append({"role": turn["role"], "content": list(kinds)})
        text = processor.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=body.get("add_generation_prompt", True),
            continue_final_message=body.get("continue_final_message", False),
        )
        shown = {"images": [images]} if images else {}
        inputs = processor(text=[text], return_tensors="pt", **shown)
        with torch.inference_mode():
            logprobs = responder.model(**inputs).logits[0].log_softmax(-1)
        ids = inputs["input_ids"][0].tolist()
        entries = [None] + [
            {str(i): {"logprob": float(row[i]), "decoded_token": processor.tokenizer.decode([i])}}
            for row, i in zip(logprobs, ids[1:], strict=False)
        ]
        answer = {**json.loads(completion("a")), "prompt_logprobs": entries}
        return Act(json.dumps(answer).encode())

    options = (("yes",), ("no",), ("m",), ("surely",))
    asked = [Score("is it red?", options, images, kind="whole") for images in ((picture,), ())]
    with serving(act) as server:
        served = OpenAIResponder(server.url, "m", patience=Patience(concurrency=1)).score(asked)
    for ours, theirs in zip(responder.score(asked), served, strict=True):
        own, other = read(str(ours), 4), read(str(theirs), 4)
        assert isinstance(own, Whole) and isinstance(other, Whole)
        for here, there in zip(own.with_ends(), other.with_ends(), strict=True):
            assert there == pytest.approx(here, abs=1e-4)


def test_the_mass_of_an_option_is_that_of_its_first_tokens(folder: Path) -> None:
    responder = open_model(str(folder), Settings())
    letters = tuple((letter,) for letter in "abcdefghijklmnopqrstuvwxyz")
    (reply,) = responder.score([Score("is it red?", letters)])
    found = read(str(reply), 26)
    assert isinstance(found, First) and 0 < sum(found.masses) < 1
    (clash,) = responder.score([Score("is it red?", (("yes",), ("yellow",)))])
    assert isinstance(clash, Unscorable) and "same token" in str(clash)
