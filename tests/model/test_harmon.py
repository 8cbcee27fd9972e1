"""Seeing, answering, training: what the network promises beyond parity with the release."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harmon_eval.model.checkpoint import BUNDLED
from harmon_eval.model.config import HARMON_MINI, PRESETS, HarmonConfig
from harmon_eval.model.fast.replies import generate
from harmon_eval.model.harmon import IGNORED_LABEL, IMAGE_PLACE, Harmon
from harmon_eval.model.mar import initialize_positions
from harmon_eval.model.masking import visible_places
from harmon_eval.suites.mini.instructions import NEW_WORDS

GRID = (3, 5)
PLACES = [IMAGE_PLACE] * (GRID[0] * GRID[1] + 8)
QUESTIONS = [
    [9, *PLACES, 4, 5],
    [*PLACES, 200, 7, 33, 90, 11, 12, 13],
    [17, 18, 19, *PLACES, *range(30, 70)],
]


def padded(rows: list[list[int]], value: int = 2) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, *GRID, 16, generator=generator)


# -- answering -------------------------------------------------------------------------------


def test_a_batch_of_questions_is_answered_as_one_by_one(tiny: Harmon) -> None:
    latents, none = pictures(3), frozenset[int]()
    together = generate(tiny, *padded(QUESTIONS), latents, 12, none)
    for i, question in enumerate(QUESTIONS):
        assert generate(tiny, *padded([question]), latents[i : i + 1], 12, none) == [together[i]]
    assert [len(reply) for reply in together] == [12, 12, 12]
    assert len(set(map(tuple, together))) == 3


def test_each_reply_stops_by_itself_and_leaves_the_stop_out(tiny: Harmon) -> None:
    latents = pictures(3)
    whole = generate(tiny, *padded(QUESTIONS), latents, 12, frozenset())
    stop = frozenset({whole[0][3], whole[1][7]})
    expected = []
    for reply in whole:
        ends = [i for i, token in enumerate(reply) if token in stop]
        expected.append(reply[: ends[0]] if ends else reply)
    assert generate(tiny, *padded(QUESTIONS), latents, 12, stop) == expected
    assert len(expected[0]) <= 3


def test_greedy_replies_are_the_likeliest_tokens_of_a_plain_pass(tiny: Harmon) -> None:
    """The cache is only a saving: reading prompt and reply again gives every token once more."""
    latents = pictures(3)
    replies = generate(tiny, *padded(QUESTIONS), latents, 8, frozenset())
    for i, (question, reply) in enumerate(zip(QUESTIONS, replies, strict=True)):
        ids = torch.tensor([[*question, *reply]])
        likeliest = tiny.read(ids, latents[i : i + 1]).argmax(-1)[0, len(question) - 1 : -1]
        assert likeliest.tolist() == reply


def test_questions_without_a_picture(tiny: Harmon) -> None:
    replies = generate(tiny, *padded([[3, 4, 5], [6]]), None, 4, frozenset())
    assert replies[1:] == generate(tiny, *padded([[6]]), None, 4, frozenset())
    assert generate(tiny, *padded([[6]]), None, 0, frozenset()) == [[]]


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([[1, 2, 3]], 1),  # a picture without places
        ([[1, *PLACES]], 0),  # places without a picture
        ([[1, *PLACES]], 2),  # a picture too many
        ([[1, *PLACES[1:]]], 1),  # a place too few
        ([[1, *PLACES[1:]], [1, *PLACES, IMAGE_PLACE]], 2),  # the right sum in wrong rows
    ],
)
def test_pictures_and_places_must_match(tiny: Harmon, rows: list[list[int]], count: int) -> None:
    latents = pictures(count) if count else None
    with pytest.raises(ValueError, match="image places"):
        tiny.embed(padded(rows)[0], latents)


# -- features --------------------------------------------------------------------------------


def test_features_are_means_over_the_tokens_of_any_layer(tiny: Harmon) -> None:
    latents, width = pictures(2), tiny.config.mar.width
    with torch.no_grad():
        normed = tiny.mar.encode(*tiny._all_visible(latents))
        assert torch.allclose(tiny.features(latents), normed[:, 8:].mean(1), atol=1e-6)
        assert torch.allclose(tiny.features(latents, pool="buffers"), normed[:, :8].mean(1))
        both = tiny.features(latents, pool="both")
        assert torch.allclose(both[:, :width], tiny.features(latents), atol=1e-6)
        last = tiny.mar.encode(*tiny._all_visible(latents), layer=tiny.config.mar.depth - 1)
        assert torch.allclose(tiny.mar.encoder_norm(last), normed)
        shapes = {tiny.features(latents, layer).shape for layer in range(tiny.config.mar.depth)}
    assert shapes == {(2, width)}


@pytest.mark.parametrize("layer", [-2, 2, 99])
def test_there_is_no_other_layer(tiny: Harmon, layer: int) -> None:
    with pytest.raises(ValueError, match=r"layer must be in -1\.\.1"):
        tiny.features(pictures(1), layer)


def test_there_is_no_other_pooling(tiny: Harmon) -> None:
    with pytest.raises(ValueError, match="image, buffers, both"):
        tiny.features(pictures(1), pool="cls")


# -- training --------------------------------------------------------------------------------


def losses(model: Harmon) -> tuple[Tensor, Tensor]:
    """Both losses of a fixed batch."""
    generator = torch.Generator().manual_seed(5)
    latents, (m, n) = pictures(2), GRID
    mask = torch.arange(m * n).expand(2, -1) < 11
    t = torch.randint(0, 1000, (4 * mask.numel(),), generator=generator)
    noise = torch.randn(len(t), 16, generator=generator)
    prompts = padded([[1, 2, 3], [4, 5, 6, 7, 8, 9]])
    drawing = model.text2image_loss(*prompts, latents, mask, t, noise)
    ids, real = padded(QUESTIONS[:2])
    labels = ids.masked_fill((ids == IMAGE_PLACE) | (real == 0), IGNORED_LABEL)
    return drawing, model.image2text_loss(ids, labels, latents)


def test_masks_may_be_numbers_but_not_those_added_to_scores(tiny: Harmon) -> None:
    """Masks of booleans, of 0 and 1 and of 0.0 and 1.0 are the same; 0 and -inf are refused."""
    latents, (m, n) = pictures(2), GRID
    hidden = torch.arange(m * n).expand(2, -1) < 11
    t, noise = torch.zeros(hidden.numel(), dtype=torch.long), torch.ones(hidden.numel(), 16)
    ids, real = padded([[1, 2, 3], [4, 5, 6, 7, 8, 9]])

    def loss(real: Tensor, hidden: Tensor) -> float:
        return float(tiny.text2image_loss(ids, real, latents, hidden, t, noise))

    def replies(real: Tensor) -> list[list[int]]:
        return generate(tiny, ids, real, None, 4, frozenset())

    expected = loss(real.bool(), hidden)
    for kind in (torch.long, torch.float32, torch.bfloat16):
        assert loss(real.to(kind), hidden.to(kind)) == expected
        assert replies(real.to(kind)) == replies(real.bool())
    added = torch.zeros(real.shape).masked_fill(real == 0, -torch.inf)
    for wrong in (lambda: loss(added, hidden), lambda: replies(added)):
        with pytest.raises(ValueError, match="attention_mask holds other numbers than 0 and 1"):
            wrong()
    with pytest.raises(ValueError, match="mask holds other numbers than 0 and 1"):
        loss(real, 0.5 * hidden)


def gradients(model: Harmon) -> dict[str, Tensor]:
    model.zero_grad()
    drawing, reading = losses(model)
    (drawing + reading).backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def test_every_trained_parameter_learns(tiny: Harmon) -> None:
    """Only the class table, which Harmon never uses, and the frozen VAE have no gradient."""
    learning = set(gradients(tiny))
    trained = {name for name, p in tiny.named_parameters() if p.requires_grad}
    assert trained - learning == {"mar.class_emb.weight"}
    assert not any(name.startswith("vae.") for name in trained)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
def test_checkpointing_changes_memory_not_gradients(tiny: Harmon) -> None:
    config = replace(tiny.config, mar=replace(tiny.config.mar, dropout=0.0))
    model = Harmon(config).train()
    model.load_state_dict(tiny.state_dict())
    plain = gradients(model)
    model.checkpoint_gradients()
    again = gradients(model)
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        assert torch.allclose(gradient, again[name], atol=1e-6), name


def test_dropout_is_on_in_training_only(tiny: Harmon) -> None:
    model = copy.deepcopy(tiny)
    with torch.no_grad():
        assert torch.equal(losses(model)[1], losses(model)[1])
        model.train()
        assert not torch.equal(losses(model)[1], losses(model)[1])


def test_all_samples_of_a_batch_hide_equally_many_tokens() -> None:
    mask = torch.tensor([[True, False, True], [False, False, True]])
    with pytest.raises(ValueError, match="the same number"):
        visible_places(mask)
    assert visible_places(mask[1:]).tolist() == [[0, 1]]


def test_a_fresh_model_predicts_zero_noise_and_is_finite() -> None:
    """Modulations and output start at zero, so the first loss is that of predicting nothing: the
    noise's own variance, 1, plus a bound near zero."""
    torch.manual_seed(0)
    model = Harmon(HARMON_MINI).eval()
    x, z = torch.randn(5, 16), torch.randn(5, HARMON_MINI.mar.width)
    assert not model.head(x, torch.arange(5), z).any()
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name


def test_positions_start_as_sines_and_cosines_of_the_asked_size() -> None:
    model = Harmon(HARMON_MINI)
    initialize_positions(model.mar, 0.7, 1.4, 0.35)
    tables = model.mar.positions((4, 4))
    for table, std in ((tables.encoder, 0.7), (tables.decoder, 1.4), (tables.diffusion, 0.35)):
        image = table[0, -16:].detach()
        assert float(image.std()) == pytest.approx(std, rel=1e-3)
        assert len({tuple(row) for row in image.tolist()}) == 16, "every place has its own row"
        assert float(table.detach().std()) == pytest.approx(std, rel=0.2), "buffers too"
    assert model.mar.encoder_pos_embed_learned.requires_grad


def test_the_bundled_model_is_its_preset_with_what_later_recipes_changed() -> None:
    """`mini-edit` appends words and lets gradients of edits through to the encoder."""
    bundled = json.loads((BUNDLED / "harmon-mini" / "config.json").read_text())
    assert bundled.pop("format") == "harmon_eval"
    preset = PRESETS["harmon-mini"]
    words = len(NEW_WORDS) + preset.llm.vocab_size
    expected = replace(preset, llm=replace(preset.llm, vocab_size=words), visual_grad_scale=1.0)
    assert HarmonConfig.from_dict(bundled) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    assert HarmonConfig.from_dict(PRESETS[name].to_dict()) == PRESETS[name]


@pytest.mark.parametrize(
    ("name", "llm", "mar"), [("harmon-0.5b", 494, 208), ("harmon-1.5b", 1544, 943)]
)
def test_published_sizes(name: str, llm: int, mar: int) -> None:
    """Millions of parameters: Qwen2.5's model cards, and MAR-B and MAR-H with their diffusion heads
    (arXiv 2406.11838, table 4)."""
    with torch.device("meta"):
        model = Harmon(PRESETS[name])
    counts = {part: _millions(module) for part, module in model.named_children()}
    assert counts["llm"] == pytest.approx(llm, abs=1)
    assert counts["mar"] + counts["head"] == pytest.approx(mar, abs=1)


def _millions(module: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6
