"""Which samples of a benchmark the questions of another tool's log are.

By an id that both know, or else by text, options and picture. A text that fits several samples
which nothing tells apart is not matched: a reply never goes to a sample by chance.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harmon_eval.core import Sample
from harmon_eval.exchange.logs.log import LoggedSample
from harmon_eval.store.digests import sha256_of

TEXTS = ("text", "question", "Prompt", "prompt")
# What prompts put behind a question; a reply to another wording is still one to this question.
ASKED_FOR = re.compile(
    r"(?:please )?answer (?:the question )?(?:using|with|yes or no|the option)[^.?]*\.?$"
    r"|only the (?:option )?letter[^.]*\.?$|please select[^.]*\.?$"
)


@dataclass
class Matched:
    """Our sample's id -> what the log has for it; how many of the log's fit several samples, fit
    none, or are further replies to one that has a reply."""

    found: dict[str, LoggedSample] = field(default_factory=dict)
    several: int = 0
    none: int = 0
    again: int = 0


def match(samples: Sequence[Sample], logged: Sequence[LoggedSample]) -> Matched:
    ids = {sample.id: sample for sample in samples}
    by_text: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        for text in _texts(sample):
            by_text[text].append(sample)
    hashes: dict[Path, str] = {}
    matched = Matched()
    for one in logged:
        fitting = _fitting(one, ids, by_text, hashes)
        if len(fitting) != 1:
            matched.several += bool(fitting)
            matched.none += not fitting
        elif fitting[0].id in matched.found:
            matched.again += 1
        else:
            matched.found[fitting[0].id] = one
    return matched


def _fitting(
    one: LoggedSample,
    ids: Mapping[str, Sample],
    by_text: Mapping[str, Sequence[Sample]],
    hashes: dict[Path, str],
) -> list[Sample]:
    texts = set(_variants(one.question))
    candidates = {s.id: s for text in texts for s in by_text.get(text, ())}
    if one.options:
        wanted = {k: _plain(v) for k, v in one.options.items()}
        same = [s for s in candidates.values() if _options(s) in (wanted, {})]
        candidates = {sample.id: sample for sample in same}
    known = [ids[key] for key in (*one.keys, one.id) if key in ids]
    if texts:
        known = [sample for sample in known if sample.id in candidates]
    if known:
        return known[:1]
    fitting = list(candidates.values())
    if len(fitting) > 1:
        return [s for s in fitting if _same_image(s, one, hashes)] or fitting
    return fitting


def _texts(sample: Sample) -> set[str]:
    own = (sample.target[name] for name in TEXTS if isinstance(sample.target.get(name), str))
    return {text for each in (sample.request.text, *own) for text in _variants(each)}


def _variants(text: str) -> Iterator[str]:
    """A question in the wordings that prompts make of it: whole, without the lines behind it,
    without what asks for a form of answer."""
    lines = [line for line in map(_plain, text.replace("<image>", "").split("\n")) if line]
    for end in range(len(lines), 0, -1):
        whole = " ".join(lines[:end])
        yield whole
        yield ASKED_FOR.sub("", whole).strip()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _options(sample: Sample) -> dict[str, str]:
    own = sample.target.get("options")
    return {str(k): _plain(str(v)) for k, v in own.items()} if isinstance(own, Mapping) else {}


def _same_image(sample: Sample, one: LoggedSample, hashes: dict[Path, str]) -> bool:
    """By bytes where the log has them, else by the picture's name."""
    files = sample.request.files
    pictures = {sha256_of(image) for image in one.images if isinstance(image, bytes)}
    if pictures:
        return bool(files) and pictures == {_hash(file, hashes) for file in files}
    names = [name for name in one.images if isinstance(name, str)]
    told = {Path(name).stem for name in (*names, *one.keys)}
    named = Path(str(sample.target.get("image", ""))).stem, str(sample.target.get("key", ""))
    own = {*named, *(file.stem for file in files)} - {""}
    return bool(told & own)


def _hash(file: Path, hashes: dict[Path, str]) -> str:
    if file not in hashes:
        hashes[file] = sha256_of(file)
    return hashes[file]
