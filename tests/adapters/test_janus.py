"""Janus through transformers, by the recipe of deepseek-ai/Janus, on a small random model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from harmon_eval import cli, registry
from harmon_eval.adapters import janus
from harmon_eval.core import Ask, Draw, Embed, Score, Unscorable, UserError
from harmon_eval.replies import probabilities

PROMPTS = ("a photo of a dog", "two red cats left of a bench", "x")
WORD = "Answer the question using a single word or phrase."


@pytest.fixture(scope="module")
def model(janus_folder: Path) -> janus.JanusResponder:
    return janus.open_model(str(janus_folder), janus.Settings(device="cpu"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """One of each kind that transformers' own preprocessing refuses, and a plain one."""
    files = []
    for mode in ("RGB", "L", "RGBA", "P"):
        pixels = np.random.default_rng(len(files)).integers(0, 256, (20, 33, 3), dtype=np.uint8)
        files.append(tmp_path / f"{mode}.png")
        Image.fromarray(pixels).convert(mode).save(files[-1])
    return files


def codes(model: janus.JanusResponder, requests: list[Draw]) -> list[bytes]:
    return [image.tobytes() for image in model.draw(requests)]


def test_the_prompt_of_a_question_is_the_papers() -> None:
    request = Ask(f"Is there a cat in the image?\n{WORD}", (Path("a.png"),))
    asked = f"<image_placeholder>\nIs there a cat in the image?\n{WORD}\n\n"
    assert janus.question(request, "pro") == f"<|User|>: {asked}<|Assistant|>:"
    assert janus.question(request, "plain") == f"User: {asked}Assistant:"
    assert janus.conversation("a dog ", "plain") == "User: a dog\n\nAssistant:"


def test_pixels_are_truncated_to_bytes() -> None:
    row = torch.tensor([-1.2, -1, -0.5, 0, 0.5, 1, 1.2]).reshape(1, -1, 1).expand(1, 7, 3)
    assert np.asarray(janus.to_image(row))[0, :, 0].tolist() == [0, 0, 63, 127, 191, 255, 255]


def test_the_long_side_is_resized_before_the_square_is_padded() -> None:
    image = Image.new("RGB", (500, 333), "white")
    half = (0.5, 0.5, 0.5)
    pixels = janus.preprocess(image, 384, half, half)
    grey = (127 / 255 - 0.5) / 0.5
    assert pixels.shape == (3, 384, 384)
    white = pixels[0, :, 0] == 1.0
    assert white.nonzero().ravel()[[0, -1]].tolist() == [64, 64 + 255 - 1]
    assert torch.allclose(pixels[:, ~white], torch.tensor(grey))


def test_a_drawing_depends_on_its_prompt_and_seed_only(model: janus.JanusResponder) -> None:
    requests = [Draw(prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    together = codes(model, requests)
    assert together == [code for request in requests for code in codes(model, [request])]
    assert together == codes(model, requests[::-1])[::-1]
    assert len(set(together)) == 3
    assert codes(model, [Draw(PROMPTS[0], seed=7)]) != together[:1]


@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_without_noise_the_codes_are_those_of_a_loop_in_the_original_manner(
    janus_folder: Path, cfg: float
) -> None:
    """Rows in pairs, the unconditional one padded between BOS and the begin of the image."""
    settings = janus.Settings(device="cpu", cfg=cfg, temperature=0.0)
    model = janus.open_model(str(janus_folder), settings)
    network, tokenizer = model.model, model.tokenizer
    ids = tokenizer(janus.conversation(PROMPTS[0], "pro") + "<begin_of_image>").input_ids
    rows = torch.tensor([ids, ids])
    rows[1, 1:-1] = tokenizer.pad_token_id
    embedded = network.get_input_embeddings()(rows)
    expected = []
    with torch.inference_mode():
        for _ in range(4):
            hidden = network.model.language_model(inputs_embeds=embedded).last_hidden_state[:, -1]
            logits = network.model.generation_head(hidden)
            code = (logits[1] + cfg * (logits[0] - logits[1])).argmax()
            expected.append(int(code))
            step = network.prepare_embeddings_for_image_generation(code.repeat(2, 1))
            embedded = torch.cat([embedded, step.reshape(2, 1, -1)], dim=1)
        image = network.decode_image_tokens(torch.tensor([expected]))[0]
    (drawn,) = model.draw([Draw(PROMPTS[0], seed=3)])
    assert drawn.tobytes() == janus.to_image(image).tobytes()


def test_noise_draws_from_the_guided_softmax() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, 0.5], [0.0, 0.5, 0.0, 0.0]])
    guided = logits[1] + 2.0 * (logits[0] - logits[1])
    draws = janus.GuidedDraw([0], cfg=2.0, temperature=0.8)
    count = 4000
    found = torch.bincount(
        torch.stack([draws(torch.empty(0), logits).argmax() for _ in range(count)]), minlength=4
    )
    expected = torch.softmax(guided.double() / 0.8, 0) * count
    assert stats.chisquare(found.numpy(), expected.numpy()).pvalue > 1e-3


def test_answers_of_a_batch_are_those_of_singles_each_in_its_own_budget(
    model: janus.JanusResponder, pictures: list[Path]
) -> None:
    requests = [
        Ask("What is this?", (pictures[0],), 12),
        Ask("Is it a cat, or is it rather something else?", (pictures[1],), 3),
        Ask("Two images.", (pictures[2], pictures[3]), 12),
        Ask("No image at all, <image_placeholder> spelled out aside.".replace("<", "("), (), 12),
    ]
    replies = model.ask(requests)
    assert replies == [reply for request in requests for reply in model.ask([request])]
    longer = model.ask([Ask(requests[1].question, requests[1].images, 12)])[0]
    assert longer.startswith(replies[1]) and len(replies[1].encode()) <= 12


def test_features_are_one_vector_an_image_and_do_not_depend_on_the_batch(
    model: janus.JanusResponder, pictures: list[Path]
) -> None:
    together = model.embed([Embed(file) for file in pictures])
    assert [vector.shape for vector in together] == [(32,)] * 4
    alone = model.embed([Embed(pictures[0])])[0]
    np.testing.assert_allclose(alone, together[0], atol=1e-5)


def test_the_roles_come_from_the_name_or_must_be_said() -> None:
    assert janus._roles("deepseek-community/Janus-Pro-7B", None) == "pro"
    assert janus._roles("deepseek-ai/Janus-1.3B", None) == "plain"
    assert janus._roles("deepseek-community/Janus-Pro-7B", "plain") == "plain"
    with pytest.raises(UserError, match=r"add \?roles=pro"):
        janus._roles("weights", None)


def test_the_recipe_is_in_the_settings(model: janus.JanusResponder, janus_folder: Path) -> None:
    assert model.settings == {
        "cfg_scale": 5.0,
        "temperature": 1.0,
        "image_size": [32, 32],
        "image_tokens": 4,
        "roles": "pro",
        "pixel_mean": [0.5] * 3,
        "pixel_std": [0.5] * 3,
        "dtype": "float32",
    }
    again = registry.model(f"janus:{janus_folder}?roles=plain", {"device": "cpu"})
    assert again.fingerprint == model.fingerprint and again.settings["roles"] == "plain"


@pytest.mark.parametrize(
    ("argument", "given", "words"),
    [
        ("", {}, "needs a folder or hub id"),
        ("x?role=pro", {}, "did you mean 'roles'"),
        ("x?roles=User", {}, "give pro or plain"),
        ("x?roles", {}, "settings as"),
        ("x?roles=pro", {"steps": 4}, "janus has no setting 'steps'"),
        ("FOLDER?roles=pro", {"temperature": -1.0}, "temperature=-1.0: give at least 0"),
        ("EMPTY?roles=pro", {}, "cannot be loaded as Janus"),
    ],
)
def test_what_cannot_be_used_is_named(
    argument: str, given: dict[str, float], words: str, janus_folder: Path, tmp_path: Path
) -> None:
    place = argument.replace("FOLDER", str(janus_folder)).replace("EMPTY", str(tmp_path))
    with pytest.raises(UserError, match=words):
        registry.model(f"janus:{place}", {"device": "cpu", **given})


def test_a_whole_run_has_harmons_tasks_seeds_and_instruments(
    janus_folder: Path, tmp_path: Path
) -> None:
    code = cli.main(
        [
            "--model",
            f"janus:{janus_folder}",
            "--tasks",
            "geneval",
            "--limit",
            "3",
            "--output",
            str(tmp_path / "run"),
        ]
    )
    assert code == 0
    assert len(list((tmp_path / "run/geneval/images").rglob("*.png"))) == 12


def test_probabilities_of_replies_are_those_of_a_plain_forward_pass(
    model: janus.JanusResponder, pictures: list[Path]
) -> None:
    """Each option appended to the prompt and read by itself, the end token last."""
    options = ("yes", "no way", "a red dog")
    request = Score("Is it?", tuple((o,) for o in options), (pictures[0],), kind="whole")
    (answer,) = model.score([request])
    assert isinstance(answer, str)
    found = probabilities.read(answer, 3)
    assert isinstance(found, probabilities.Whole)
    inputs = model._asked([Ask("Is it?", (pictures[0],))])
    for option, own in zip(options, found.with_ends(), strict=True):
        ids = [*model.tokenizer(option, add_special_tokens=False).input_ids, 2]
        whole = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
        with torch.inference_mode():
            logits = model.model(input_ids=whole, pixel_values=inputs["pixel_values"]).logits
        steps = logits[0, -len(ids) - 1 : -1].float().log_softmax(-1)
        expected = [float(steps[place, token]) for place, token in enumerate(ids)]
        assert own == pytest.approx(expected, abs=1e-4)


def test_the_mass_of_first_tokens_counts_forms_with_a_space(
    model: janus.JanusResponder, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    asked = Score("Is it?", (("Yes", " yes"), ("No",)), (pictures[0],))
    answer, broken = model.score([asked, Score("Is it?", (("Yes",),), (tmp_path / "broken.png",))])
    assert isinstance(answer, str) and isinstance(broken, Unscorable)
    found = probabilities.read(answer, 2)
    assert isinstance(found, probabilities.First)
    inputs = model._asked([Ask("Is it?", (pictures[0],))])
    with torch.inference_mode():
        first = model.model(**inputs).logits[0, -1].float().softmax(-1)
    ids = [model.tokenizer(form, add_special_tokens=False).input_ids[0] for form in ("Yes", " yes")]
    assert found.masses[0] == pytest.approx(float(first[ids].sum()), abs=1e-6)
    assert model.can("score") and found.seen == 1.0
