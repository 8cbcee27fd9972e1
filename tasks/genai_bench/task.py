"""GenAI-Bench: does the image show its prompt, by VQAScore and by skill?

Paper: Lin et al. 2024, arXiv 2404.01291; Li et al. 2024, arXiv 2406.13743. Protocol:
linzhiqiu/t2v_metrics @ 6ecb74f, genai_bench. A judge is asked whether the image shows the prompt;
the score is how likely it says yes. ``genai_bench:RECIPE`` follows one of the published recipes
(clip_flant5, instructblip, qwen_vl, gpt4o_3_0, gpt4o_3_1, flow_factory) or ours (yes_mass,
yes_share): docs/probabilities.md. VQAScore does not read negation: by the authors' own numbers all
models get the same 0.49 to 0.53 there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmon_eval.core import (
    About,
    Answer,
    Data,
    Draw,
    Instruments,
    Metric,
    Reward,
    Row,
    Sample,
    Score,
    Source,
    Task,
    Unscorable,
)
from harmon_eval.instruments.judging import judge_of
from harmon_eval.instruments.vqascore import OURS, RECIPES
from harmon_eval.metrics.floors import LEAST, MOST
from harmon_eval.metrics.shares import share
from harmon_eval.replies.probabilities import read
from harmon_eval.settings import variant
from harmon_eval.tasks.genai_bench import mini
from harmon_eval.tasks.genai_bench.files import OFFICIAL, read_files

if TYPE_CHECKING:
    import pandas as pd

SKILL = "skill:"  # a column for each skill


def target(prompt: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is asked about an image of any prompt; ``metadata`` is not needed."""
    return {"prompt": prompt, "skills": []}


def samples(data: Data) -> Iterator[Sample]:
    for name, (prompt, skills) in read_files(data.folder).items():
        yield Sample(name, Draw(prompt), {"prompt": prompt, "skills": skills}, name)


def judged(sample: Sample, image: Path | None, recipe: str) -> list[Score]:
    return [RECIPES[recipe].ask(sample.target["prompt"], image)]


def image_row(sample: Sample, value: float) -> Row:
    return {"vqascore": value, **{SKILL + skill: True for skill in sample.target["skills"]}}


def mark(answers: Sequence[Answer], instruments: Instruments, recipe: str) -> list[Row]:
    """One row an image; unscored where the judge gives no such probability."""
    judge, chosen = instruments["judge"], RECIPES[recipe]
    asks = [judged(answer.sample, answer.image, recipe)[0] for answer in answers]
    verdicts = judge.verdicts(asks, partial(read, options=len(chosen.options)))
    rows: list[Row] = []
    for answer, verdict in zip(answers, verdicts, strict=True):
        try:
            if isinstance(verdict, Unscorable):
                raise verdict
            found = chosen.read(verdict.value)
        except Unscorable as error:
            rows.append({"unscored": str(error)})
            continue
        row = {"judge": judge.name, **image_row(answer.sample, found.value)}
        if found.least < found.value or found.value < found.most:
            row |= {f"{LEAST}vqascore": found.least, f"{MOST}vqascore": found.most}
        rows.append(row)
    return rows


def bounds(sample: Sample) -> tuple[Row, Row]:
    return {"judge": None, **image_row(sample, 0.0)}, {"judge": None, **image_row(sample, 1.0)}


def summarize(rows: pd.DataFrame, recipe: str) -> dict[str, float]:
    """Means over prompts, from 0 to 1, as published; each prompt counts once in the headline."""
    found = {f"vqascore_{recipe}[{judge_of(rows)}]": float(rows["vqascore"].mean())}
    for column in [c for c in rows.columns if c.startswith(SKILL)]:
        own = rows.loc[rows[column].notna(), "vqascore"]
        if len(own):
            found[f"skill/{column.removeprefix(SKILL)}"] = float(own.mean())
    return found


def _of_skill(rows: pd.DataFrame, metric: str) -> pd.Series:
    return rows[SKILL + metric.removeprefix("skill/")].notna()


def _about(recipe: str) -> dict[str, Any]:
    return {
        "protocol": "linzhiqiu/t2v_metrics @ 6ecb74f, genai_bench: mean over prompts, one image "
        f"each; recipe {recipe} ({RECIPES[recipe].about})",
        "differs": "Probabilities come from raw logits. An image without them is unscored with "
        "bounds; some published code gives it 0. Where an endpoint lists only its top tokens, the "
        "headline has bounds. Images are prepared by the judge's own processor; CLIP-FlanT5 pads "
        "them to a square first. A prompt with braces is asked about as it stands.",
    }


def open_task(recipe: str = "") -> Task:
    """``genai_bench:RECIPE``: one of ``RECIPES``."""
    ours_first = (OURS, *(name for name in RECIPES if name != OURS))
    chosen = variant(recipe, recipe=ours_first)["recipe"]
    return Task(
        samples=samples,
        mark=partial(mark, recipe=chosen),
        summarize=partial(summarize, recipe=chosen),
        metrics=(
            Metric(f"vqascore_{chosen}[*]", headline=True, of=share("vqascore")),
            Metric("skill/*", rows=_of_skill, of=share("vqascore")),
        ),
        about=About(
            paper="arXiv 2406.13743",
            version="1",
            compares="Published rows are CLIP-FlanT5-XXL's: SD 2.1 0.67, SDXL 0.72, Midjourney v6 "
            "0.76, DALL-E 3 0.78. Recipe and judge are in the metric's name.",
            licence="Apache-2.0 (BaiqiL/GenAI-Bench-1600)",
            size="1,600 prompts (527 in the first paper), one image each",
            cost="1,600 drawings, one probability each",
            **_about(chosen),
        ),
        sources={
            "official": OFFICIAL,
            "mini": Source(make=mini.make),
        },
        instruments={"judge": ""},
        judged=partial(judged, recipe=chosen),
        bounds=bounds,
        reward=Reward.of_columns("vqascore", target=target),
        columns=("judge", "vqascore", f"{SKILL}*"),
    )


TASK = open_task()
