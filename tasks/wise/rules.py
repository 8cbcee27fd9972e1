"""WISE's two releases: their files, what the judge is asked, how its reply is read.

Paper: Niu et al. 2025, arXiv 2503.07265. Protocols: PKU-YuanGroup/WISE @ eb51174. The releases
share ids but not prompts, judges or scales; their numbers never share a column. Categories go by
``prompt_id`` alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harmon_eval.core import (
    About,
    Answer,
    Ask,
    Draw,
    Instruments,
    Metric,
    Remote,
    Row,
    Sample,
    Unscorable,
    UserError,
)
from harmon_eval.files.question_files import read_json
from harmon_eval.instruments.judging import Verdict, judge_of
from harmon_eval.metrics.rows import of
from harmon_eval.metrics.shares import mean_of, share
from harmon_eval.replies import numbers
from harmon_eval.replies.thoughts import answered
from harmon_eval.store.digests import sha256_of

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
KEYS = {"prompt_id": int, "Prompt": str, "Explanation": str, "Category": str, "Subcategory": str}
OWN = "own"  # in place of a category: prompts that trainers send
CATEGORIES = ("culture", "time", "space", "biology", "physics", "chemistry")


@dataclass(frozen=True)
class Release:
    """``starts`` are the first ids of the six categories, in their order; ids end at 1000."""

    files: tuple[str, ...]
    starts: tuple[int, ...]
    rubric: str
    max_new_tokens: int

    def category(self, prompt_id: int) -> str:
        return CATEGORIES[sum(prompt_id >= start for start in self.starts) - 1]

    @property
    def weights(self) -> dict[str, float]:
        """Sizes of the categories in the full set, as shares."""
        ends = (*self.starts[1:], 1001)
        sizes = (end - start for start, end in zip(self.starts, ends, strict=True))
        return {name: size / 1000 for name, size in zip(CATEGORIES, sizes, strict=True)}


REPOSITORY = (
    "https://raw.githubusercontent.com/PKU-YuanGroup/WISE/eb51174483a5de2e34e8614cf9dfb3319ee7fcd0"
)
ABOUT = About(
    paper="arXiv 2503.07265",
    version="2",
    licence="none stated by PKU-YuanGroup/WISE; prompts are not redistributed",
    size="1,000 prompts in 6 categories",
    cost="1,000 drawings and 1,000 judge calls with an image",
)
NAMES = ("cultural_common_sense", "spatio-temporal_reasoning", "natural_science")
LEGACY = Release(
    tuple(f"{name}.json" for name in NAMES), (1, 401, 568, 701, 801, 901), "wise_legacy", 2000
)
VERIFIED = Release(
    tuple(f"{name}_verified.json" for name in NAMES),
    (1, 401, 521, 641, 761, 881),
    "wise_verified",
    500,
)


def downloads(folder: str, release: Release, digests: Sequence[str]) -> tuple[Remote, ...]:
    """The files of a release in a folder of the repository, with their sha256."""
    pairs = zip(release.files, digests, strict=True)
    return tuple(Remote(f"{REPOSITORY}/{folder}/{name}", name, digest) for name, digest in pairs)


# -- data ------------------------------------------------------------------------------------


def read_records(folder: Path, release: Release) -> list[dict[str, Any]]:
    """All records of a release by ``prompt_id``. Raises UserError naming the file and the flaw."""
    found: dict[int, dict[str, Any]] = {}
    for name in release.files:
        file = folder / name
        if not file.exists():
            raise UserError(f"{file} is missing: put it beside the other files of WISE")
        records = read_json(file)
        if not isinstance(records, list):
            raise UserError(f"{file} must hold a list of records")
        for number, record in enumerate(records, start=1):
            where = f"{file}, record {number}"
            for key, kind in KEYS.items():
                if not isinstance(record, dict) or type(record.get(key)) is not kind:
                    raise UserError(f"{where}: needs {key!r}, {kind.__name__}")
            if not 1 <= record["prompt_id"] <= 1000 or record["prompt_id"] in found:
                raise UserError(
                    f"{where}: prompt_id {record['prompt_id']} must be 1 to 1000 and "
                    "must not repeat"
                )
            found[record["prompt_id"]] = record
    return [found[number] for number in sorted(found)]


def rubric(folder: Path, name: str) -> tuple[str, str]:
    """System text and user text for the judge: ``rubric_system.txt`` and ``rubric.txt`` in the
    data folder, or our own wording. Raises UserError for a text without its placeholders."""
    own = Path(__file__).parent
    file = folder / "rubric.txt"
    if not file.exists():
        file = own / f"{name.removeprefix('wise_')}.txt"
    system = folder / "rubric_system.txt"
    if not system.exists():
        system = own / f"{name.removeprefix('wise_')}_system.txt"
    text = file.read_text(encoding="utf-8")
    for placeholder in ("{prompt}", "{explanation}"):
        if placeholder not in text:
            raise UserError(f"{file} lacks {placeholder}: the judge could not see it")
    return system.read_text(encoding="utf-8").strip(), text.strip()


def filled(text: str, prompt: str, explanation: str) -> str:
    """The two strings raw in their places; what looks like a placeholder inside them stays."""
    values = {"prompt": prompt, "explanation": explanation}
    return re.sub(r"\{(prompt|explanation)\}", lambda match: values[match[1]], text)


def samples(folder: Path, release: Release) -> Iterator[Sample]:
    """One drawing a prompt; the image lies at ``images/{prompt_id}.png`` as WISE's scripts want."""
    system, text = rubric(folder, release.rubric)
    digest = sha256_of(f"{system}\0{text}")[:12]
    records = read_records(folder, release)
    for record in records:
        prompt, explanation = record["Prompt"], record["Explanation"]
        category = release.category(record["prompt_id"])
        target = {
            **record,
            "category": category,
            "system": system,
            "question": filled(text, prompt, explanation),
            "rubric": digest,
            "max_new_tokens": release.max_new_tokens,
            "total": len(records),
        }
        name = str(record["prompt_id"])
        yield Sample(name, Draw(prompt), target, group=name, stratum=category)


def target(prompt: str, metadata: Mapping[str, Any], release: Release) -> Mapping[str, Any] | None:
    """What an image is marked by where a trainer sends an ``explanation`` with its prompt; it is
    asked with our wording of the rubric. Raises Unscorable for an explanation that is no text."""
    if "explanation" not in metadata:
        return None
    explanation = metadata["explanation"]
    if not isinstance(explanation, str) or not explanation.strip():
        raise Unscorable("metadata.explanation is no text: the judge cannot do without")
    system, text = rubric(Path(__file__).parent, release.rubric)
    return {
        **{"prompt_id": 0, "Prompt": prompt, "Explanation": explanation, "Subcategory": ""},
        **{"category": OWN, "system": system, "question": filled(text, prompt, explanation)},
        "rubric": sha256_of(f"{system}\0{text}")[:12],
        "max_new_tokens": release.max_new_tokens,
        "total": 0,
    }


def judged(sample: Sample, image: Path | None) -> list[Ask]:
    """The one request about a sample's image."""
    target = sample.target
    images = (image,) if image else ()
    return [Ask(target["question"], images, target["max_new_tokens"], system=target["system"])]


def mark(
    answers: Sequence[Answer],
    instruments: Instruments,
    parse: Callable[[str], T | None],
    scores: Callable[[T], Row],
) -> list[Row]:
    """One row an image: its scores, and what the judge said. ``parse`` reads a reply; None: it
    does not say."""
    judge = instruments["judge"]
    requests = [ask for answer in answers for ask in judged(answer.sample, answer.image)]
    return [
        {"unscored": str(verdict)}
        if isinstance(verdict, Unscorable)
        else {**told(answer.sample, verdict, judge.name), **scores(verdict.value)}
        for answer, verdict in zip(answers, judge.verdicts(requests, parse), strict=True)
    ]


def told(sample: Sample, verdict: Verdict[Any], judge: str) -> Row:
    """What a row says besides its scores."""
    target = sample.target
    return {
        "category": target["category"],
        "subcategory": target["Subcategory"],
        "prompt_id": target["prompt_id"],
        "prompt": target["Prompt"],
        "explanation": target["Explanation"],
        "total": target["total"],
        "reply": verdict.reply,
        "attempts": verdict.attempts,
        "judge": judge,
        "judge_as_returned": verdict.model,
        "rubric": target["rubric"],
    }


# -- replies ---------------------------------------------------------------------------------

SCORES = ("consistency", "realism", "aesthetic_quality")
LABELS = tuple(name.replace("_", " ") for name in SCORES)


def parse_legacy(reply: str) -> dict[str, int] | None:
    """The three scores from 0 to 2, labelled or on three lines of their own; None where one is
    missing or is no such score.

    The original takes any digit after a label, and so 1 of 10 and of 1.5."""
    text = _answer(reply)
    found = numbers.labelled(text, LABELS, 0, 2)
    if not found and len(bare := numbers.bare(text, 0, 2)) == len(SCORES):
        return dict(zip(SCORES, bare, strict=True))
    scores = [found.get(label) for label in LABELS]
    values = {name: n for name, n in zip(SCORES, scores, strict=True) if n is not None}
    return values if len(values) == len(SCORES) else None


def parse_verified(reply: str) -> int | None:
    """0 or 1: the first ``Score``, as in the verified release, else the one bare line."""
    text = _answer(reply)
    if "score" in (found := numbers.labelled(text, ("score",), 0, 1, keep="first")):
        return found["score"]
    bare = numbers.bare(text, 0, 1)
    return bare[0] if len(bare) == 1 else None


def _answer(reply: str) -> str:
    try:
        return answered(reply)
    except Unscorable:
        return ""


def wiscore(consistency: float, realism: float, aesthetic_quality: float) -> float:
    """One image's score in [0, 1]."""
    return (7 * consistency + 2 * realism + aesthetic_quality) / 20


# -- adding up -------------------------------------------------------------------------------


def metrics(name: str, column: str, release: Release) -> tuple[Metric, ...]:
    """What ``totals`` gives; the judge stands in brackets."""
    own = share(column)
    return (
        Metric(f"{name}[*]", headline=True, mean_of=lambda present, name: release.weights),
        Metric("unweighted_mean[*]", mean_of=mean_of(CATEGORIES)),
        Metric("as_zero[*]", interval=False),  # a bound of its own
        *(Metric(category, rows=of("category"), of=own) for category in (*CATEGORIES, OWN)),
    )


def assumed(sample: Sample, scores: Row) -> Row:
    """The row that an unjudged sample would have with these scores, for bounds."""
    target = sample.target
    return {"category": target["category"], "total": target["total"], "judge": None, **scores}


def totals(rows: pd.DataFrame, column: str, release: Release, name: str) -> dict[str, float]:
    """``name[judge]``: mean weighted by the full set's category sizes, once all six have a score;
    ``unweighted_mean[judge]``: Bagel's before May 2026; the categories; of a partial set also
    ``as_zero[judge]``, the lower bound with 0 for what has no score."""
    import pandas as pd

    judge = judge_of(rows)
    found: dict[str, float] = {}
    if (own := rows["category"] == OWN).any():
        found[OWN] = float(rows.loc[own, column].mean())
        rows = rows[~own]
    if rows.empty:
        return found
    places = pd.Index(CATEGORIES).get_indexer(rows["category"])
    sizes = np.bincount(places, minlength=len(CATEGORIES))
    sums = np.bincount(places, weights=rows[column], minlength=len(CATEGORIES))
    means = {c: sums[i] / sizes[i] for i, c in enumerate(CATEGORIES) if sizes[i]}
    if len(means) == len(CATEGORIES):
        found[f"{name}[{judge}]"] = float(sum(w * means[c] for c, w in release.weights.items()))
        found[f"unweighted_mean[{judge}]"] = float(np.mean(list(means.values())))
    if len(rows) < rows["total"].iloc[0]:
        found[f"as_zero[{judge}]"] = float(rows[column].sum() / rows["total"].iloc[0])
    return found | {c: float(mean) for c, mean in means.items()}


def result_files(rows: pd.DataFrame, scores: Sequence[str]) -> Mapping[str, str]:
    """WISE's own result files, by id: all that was said, and the scores alone."""
    by_id = rows.sort_values("prompt_id")
    full = [
        {
            "prompt_id": r["prompt_id"],
            "prompt": r["prompt"],
            "key": r["explanation"],
            "image_path": f"images/{r['prompt_id']}.png",
            "evaluation": r["reply"],
        }
        for r in by_id.to_dict("records")
    ]
    lines = by_id.rename(columns={"subcategory": "Subcategory"})
    return {
        "full_results.json": json.dumps(full, indent=1, ensure_ascii=False),
        "scores.jsonl": lines[["prompt_id", "Subcategory", *scores]].to_json(
            orient="records", lines=True
        ),
    }
