"""What teaches harmon-mini to edit is made of: edits, more objects, new words, letters."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer as Backend

from harmon_eval.model.checkpoint import load as load_model
from harmon_eval.model.pipeline import HarmonPipeline
from harmon_eval.model.processor import with_words
from harmon_eval.model.tokenizer import Tokenizer
from harmon_eval.model.train.reading import load
from harmon_eval.model.train.recipe import Recipe, RecipeError, Source, Start
from harmon_eval.model.train.scenes import SceneRows, split_edit, split_scene
from harmon_eval.model.train.start import begin
from harmon_eval.suites.mini import edits, instructions, scenes
from harmon_eval.suites.mini.edit_judge import judge_edit


def recipe() -> Recipe:
    found = load("mini-edit")
    assert isinstance(found, Recipe)
    return found


def test_the_recipe_appends_the_words_of_the_instructions() -> None:
    assert recipe().start.words == instructions.NEW_WORDS


def test_the_recipe_lets_edits_teach_the_encoder() -> None:
    start = Start(checkpoint="harmon-mini")
    scaled = replace(start, visual_grad_scale=recipe().start.visual_grad_scale)
    published = replace(start, visual_grad_scale=0.1)
    assert begin(Recipe(start=published)).model.config.visual_grad_scale == 0.1
    assert begin(Recipe(start=scaled)).model.config.visual_grad_scale == 1.0


def test_the_recipe_says_how_edits_are_guided() -> None:
    start = Start(checkpoint="harmon-mini", edit_cfg_scale=recipe().start.edit_cfg_scale)
    drawing = begin(Recipe(start=start)).drawing
    assert drawing.for_edits().cfg_scale == 1.0
    assert drawing.cfg_scale == 2.0


def test_old_words_keep_ids_and_weights_and_new_ones_follow(tmp_path: Path) -> None:
    old = HarmonPipeline.from_pretrained("harmon-mini")
    started = begin(Recipe(start=Start(checkpoint="harmon-mini", words=("Fold", "unfold"))))
    before, after = old.processor.tokenizer.vocabulary(), started.processor.tokenizer.vocabulary()
    assert after == before | {"Fold": len(before), "unfold": len(before) + 1}
    rows, old_rows = (
        model.llm.get_input_embeddings().weight for model in (started.model, old.model)
    )
    assert torch.equal(rows[: len(before)], old_rows)
    assert rows[len(before) :].std() > 0
    assert started.model.llm.lm_head.weight is rows
    assert "2 words appended" in started.origins["llm"]

    HarmonPipeline(started.model, started.processor).save_pretrained(tmp_path / "saved")
    again = HarmonPipeline.from_pretrained(str(tmp_path / "saved"))
    assert again.model.config.llm.vocab_size == len(before) + 2
    text = "Fold a red circle, unfold it."
    assert again.processor.question_ids(text, 0) == started.processor.question_ids(text, 0)


@pytest.mark.parametrize("word", ["red", "Generate"])
def test_a_word_that_is_there_is_not_appended(word: str) -> None:
    with pytest.raises(RecipeError, match=f"has {word} already"):
        begin(Recipe(start=Start(checkpoint="harmon-mini", words=(word,))))


def test_only_a_word_tokenizer_takes_words() -> None:
    bytes_ = Backend.from_str(
        '{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}'
    )
    with pytest.raises(ValueError, match="word tokenizer only"):
        with_words(Tokenizer(bytes_, {}), ["Fold"])


def test_edits_of_the_scenes_are_pairs_that_the_judge_passes() -> None:
    rows = SceneRows(Source("edit", scenes=40), 0)
    rng = np.random.default_rng(0)
    for index in range(26):
        row = rows.row(index, rng)
        assert row.source is not None
        assert row.picture is not None
        before, after = np.asarray(row.source()), np.asarray(row.picture())
        assert judge_edit(before, after, row.prompt).passed
    assert len({rows.row(0, rng).prompt for _ in range(20)}) > 2


def test_splits_of_edits_leave_combinations_out_or_show_them() -> None:
    for index in range(20):
        assert not split_edit(0, "train", index).unseen
        assert not split_edit(0, "seen", index).unseen
        assert split_edit(0, "unseen", index).unseen
    assert split_edit(0, "train", 3) != split_edit(0, "seen", 3)
    assert {split_edit(0, "train", index).kind for index in range(13)} == set(edits.KINDS)


def test_a_share_of_the_scenes_may_be_crowded() -> None:
    shown = [split_scene(0, "train", index, crowded=0.5) for index in range(60)]
    crowds = [s for s in shown if len({i.shape for i in s.items}) == len(s.items) > 2]
    assert 15 <= len(crowds) <= 45
    assert not any(scenes.unseen(scene) for scene in shown)
    plain = Source("text2image", scenes=4)
    crowded = replace(plain, crowded=1.0)
    rng = np.random.default_rng(0)
    assert "," in SceneRows(crowded, 0).row(0, rng).prompt


def test_drills_ask_for_letters_alone() -> None:
    """Of text, half ask which option a hint is; no turn gives the answer away in words."""
    rng = np.random.default_rng(0)
    for task in ("text", "image2text"):
        rows = SceneRows(Source(task, scenes=40, turns=3, drilled=1.0), 0)
        turns = [turn for index in range(40) for turn in rows.row(index, rng).turns]
        assert len(turns) == 120 and {answer for _, answer in turns} == set("ABCD")
        hints = [(asked, answer) for asked, answer in turns if asked.startswith("Hint: ")]
        assert bool(hints) == (task == "text")
        for asked, letter in hints:
            hint, *options = asked.splitlines()[:-1]
            named = {line.strip("()")[0]: line.split(" ", 1)[1] for line in options}
            assert named[letter] == hint.removeprefix("Hint: ")


def test_letters_are_drilled_in_text_alone_at_first() -> None:
    found = load("mini-letters")
    assert isinstance(found, Recipe)
    first = [source.task for source in found.sources if not source.first_step]
    assert first == ["text"] and found.sources[0].drilled > 0.5
    assert {source.task for source in found.sources} == {"text", "edit", "text2image", "image2text"}


def test_all_is_trained_together_last() -> None:
    found = load("mini-joint")
    assert isinstance(found, Recipe)
    assert {source.task for source in found.sources} == {"text", "edit", "text2image", "image2text"}
    assert not any(source.first_step for source in found.sources)


def test_the_bundled_model_knows_the_words_of_instructions_after_all_others() -> None:
    """It comes of the recipe that appends them."""
    known = HarmonPipeline.from_pretrained("harmon-mini").processor.tokenizer.vocabulary()
    words = sorted(known, key=known.__getitem__)
    assert tuple(words[-len(instructions.NEW_WORDS) :]) == tuple(instructions.NEW_WORDS)


def test_the_bundled_model_does_most_of_a_few_edits_and_keeps_the_rest() -> None:
    """Fixed seeds; all but one or none are expected to be right."""
    editor = load_model("harmon-mini")
    kinds = ("remove", "background", "number", "resize")
    made = [
        edits.sample_edit(np.random.default_rng(i), kind, unseen=False)
        for kind in kinds
        for i in range(3)
    ]
    sources = [scenes.render(edit.source) for edit in made]
    results = editor.pipeline.edit(
        [Image.fromarray(source) for source in sources],
        [edit.instruction for edit in made],
        list(range(len(made))),
        editor.draw_settings,
    )
    told = zip(sources, results, made, strict=True)
    verdicts = [judge_edit(s, np.asarray(r), edit.instruction) for s, r, edit in told]
    assert sum(verdict.passed for verdict in verdicts) >= 9
