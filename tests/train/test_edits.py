"""Edits and reconstructions as training data: sources, prompts, caches, and what they come to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harmon_eval.model.harmon import IMAGE_PLACE
from harmon_eval.model.processor import REPEAT, UNCONDITIONAL
from harmon_eval.model.train.batches import DROPPED, BatchMaker, MicroBatch, row_pixels
from harmon_eval.model.train.faults import Faults
from harmon_eval.model.train.latents import precompute
from harmon_eval.model.train.loop import train_harmon
from harmon_eval.model.train.losses import Losses
from harmon_eval.model.train.reading import from_values, load, shipped_recipes
from harmon_eval.model.train.recipe import Recipe, RecipeError, Source
from harmon_eval.model.train.run_folder import newest_state
from harmon_eval.model.train.sources import BrokenRow, StreamedRows, make_row, open_rows
from harmon_eval.model.train.start import Started, begin

RNG = np.random.default_rng(0)


@pytest.fixture
def pairs(tmp_path: Path) -> Source:
    """Eight pairs: a dark source, a light target, both wider than high; one source is missing."""
    lines = []
    for i in range(8):
        Image.new("RGB", (96, 64), (10 * i, 0, 0)).save(tmp_path / f"{i}-before.png")
        Image.new("RGB", (96, 64), (10 * i, 255, 255)).save(tmp_path / f"{i}-after.png")
        before = f"{i}-before.png" if i != 5 else "gone.png"
        lines.append({"source": [before], "image": f"{i}-after.png", "instruction": " a red star "})
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return Source(
        "edit",
        data="json",
        files=(str(tmp_path / "data.jsonl"),),
        images=str(tmp_path),
        prompt="{instruction}",
        crop="centre",
        batch=4,
    )


def maker_of(recipe: Recipe, tmp_path: Path, cached: bool = False) -> tuple[BatchMaker, Started]:
    started = begin(recipe)
    rows = [open_rows(source, recipe.seed) for source in recipe.sources]
    caches = []
    for number, opened in enumerate(rows):
        assert not isinstance(opened, StreamedRows)
        held = precompute(recipe, number, opened, started.model.vae, 64, tmp_path / "latents")
        caches.append(held if cached else None)
    faults = Faults(tmp_path / "skipped.jsonl", 0.9)
    config = started.model.config
    maker = BatchMaker(recipe, config, started.processor, rows, caches, faults)
    return maker, started


def texts(batch: MicroBatch, started: Started) -> list[str]:
    token = started.processor.token
    return [" ".join(token(i) for i in row if i != IMAGE_PLACE) for row in batch.ids.tolist()]


def test_a_row_has_a_source_a_target_and_an_instruction_both_cropped_at_one_place() -> None:
    levels = np.tile(np.arange(96, dtype=np.uint8), (64, 1))
    left_to_right = Image.fromarray(levels).convert("RGB")
    values = {"source": left_to_right, "image": left_to_right, "instruction": " add a star "}
    source = Source("edit", prompt="{instruction}", crop="random")
    row = make_row(values, source, RNG)
    assert row.prompt == "add a star"
    for _ in range(3):
        shown = row_pixels(source, row, 64, RNG)
        assert torch.equal(shown["pixels"], shown["source_pixels"])
    squeezed = row_pixels(replace(source, crop="squeeze"), row, 64, RNG)["pixels"]
    # The whole width is in the square: from level 0 to level 95, within a level of interpolation.
    assert (squeezed[0, 0, [0, -1]] * 127.5 + 127.5).tolist() == pytest.approx([0, 95], abs=1.5)


@pytest.mark.parametrize("held", [[], ["a.png", "b.png"]])
def test_an_edit_takes_one_source(held: list[str]) -> None:
    values = {"source": held, "image": "c.png", "instruction": "add a star"}
    with pytest.raises(BrokenRow, match=f"source holds {len(held)} pictures"):
        make_row(values, Source("edit", prompt="{instruction}"), RNG)


def test_cached_edits_are_those_of_the_files_and_a_missing_source_is_skipped(
    pairs: Source, tiny: Recipe, tmp_path: Path
) -> None:
    recipe = replace(tiny, sources=(pairs,), unconditional=0.0)
    fresh, started = maker_of(recipe, tmp_path)
    cached, _ = maker_of(recipe, tmp_path, cached=True)
    places = fresh.grid**2 + started.model.config.mar.buffers
    for turn in range(2):
        files, latents = fresh.make(0, 0, turn), cached.make(0, 0, turn)
        assert files.names == latents.names and "0:5" not in files.names
        assert files.pixels is not None and files.source_pixels is not None
        assert latents.latents is not None and latents.sources is not None
        with torch.no_grad():
            vae = started.model.vae
            torch.testing.assert_close(vae.encode(files.pixels), latents.latents)
            torch.testing.assert_close(vae.encode(files.source_pixels), latents.sources)
        assert bool((files.ids == IMAGE_PLACE).sum(dim=1).eq(places).all())
        assert all("a red star" in text for text in texts(files, started))
        losses = Losses(started.model.eval())
        torch.testing.assert_close(losses(files), losses(latents))


@pytest.mark.parametrize("cached", [False, True])
def test_unconditional_edits_repeat_the_source(
    pairs: Source, tiny: Recipe, tmp_path: Path, cached: bool
) -> None:
    maker, started = maker_of(replace(tiny, sources=(pairs,), unconditional=1.0), tmp_path, cached)
    batch = maker.make(0, 0, 0)
    words = map(started.processor.token, started.processor._plain(REPEAT))
    text = " ".join(words)
    assert all(text in own for own in texts(batch, started))
    target, source = (
        (batch.latents, batch.sources) if cached else (batch.pixels, batch.source_pixels)
    )
    assert target is not None and source is not None
    assert torch.equal(target, source)


def test_some_edits_drop_their_text(pairs: Source, tiny: Recipe, tmp_path: Path) -> None:
    recipe = replace(tiny, sources=(replace(pairs, dropped=1.0),), unconditional=0.0)
    maker, started = maker_of(recipe, tmp_path)
    words = map(started.processor.token, started.processor._plain(DROPPED))
    text = " ".join(words)
    assert all(text in own for own in texts(maker.make(0, 0, 0), started))


def test_a_reconstruction_asks_about_the_picture_and_draws_the_same(
    tiny: Recipe, tmp_path: Path
) -> None:
    source = Source("reconstruct", batch=4, scenes=8, cache=True)
    asked, started = maker_of(replace(tiny, sources=(source,), unconditional=0.0), tmp_path, True)
    plain, _ = maker_of(replace(tiny, sources=(source,), unconditional=1.0), tmp_path, True)
    first, other = asked.make(0, 0, 0), plain.make(0, 0, 0)
    assert first.names == other.names
    places = asked.grid**2 + started.model.config.mar.buffers
    for batch in (first, other):  # without its text, the prompt still holds the picture
        assert bool((batch.ids == IMAGE_PLACE).sum(dim=1).eq(places).all())
    assert all("Describe the image" in text for text in texts(first, started))
    assert all(" ".join(UNCONDITIONAL[:-1].split()) in text for text in texts(other, started))
    # The decoder has no condition: its mask token takes part, which it does not where replaced.
    started.model.zero_grad()
    Losses(started.model)(first).backward()
    assert started.model.mar.mask_token.grad is not None
    edit = replace(first, task="edit", sources=first.latents)
    started.model.zero_grad()
    Losses(started.model)(edit).backward()
    assert started.model.mar.mask_token.grad is None


def test_a_training_takes_edits_and_reconstructions(
    pairs: Source, tiny: Recipe, tmp_path: Path
) -> None:
    mixed = (pairs, Source("reconstruct", batch=2, scenes=8, cache=True))
    train_harmon(replace(tiny, sources=mixed, steps=2, broken=0.9), tmp_path / "run")
    assert newest_state(tmp_path / "run") is not None
    lines = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert all(line["edit"] > 0 and line["reconstruct"] > 0 for line in lines)


def test_what_edits_cannot_do_is_refused(tiny: Recipe) -> None:
    values = {"kind": "harmon", "sources": [{"task": "edit", "data": "json", "cache": True}]}
    with pytest.raises(RecipeError, match="random crops cannot be cached"):
        from_values(values)


def test_the_recipes_of_edits_and_of_reca_are_shipped() -> None:
    assert {"edit", "reca"} <= set(shipped_recipes())
    edit, reca = load("edit"), load("reca")
    assert isinstance(edit, Recipe) and isinstance(reca, Recipe)
    assert [source.task for source in edit.sources] == ["edit", "text2image", "image2text"]
    assert [source.task for source in reca.sources] == ["reconstruct", "image2text"]
