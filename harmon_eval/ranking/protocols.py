"""Which published numbers follow another protocol than their neighbours, and so need a split of
their own. Reviewed by hand: each rule rests on what the number's source or its note says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

METAQUERY = "https://github.com/facebookresearch/metaquery"
GPT_4O, SNAPSHOT = "legacy (GPT-4o)", "legacy (GPT-4o-2024-05-13)"


@dataclass(frozen=True)
class Rule:
    """Rows of ``task`` in ``split`` whose other cells match these patterns belong to ``protocol``.

    ``value``, if given, is the exact spelling of the number."""

    task: str
    split: str
    protocol: str
    model: str = ""
    metric: str = ""
    value: str = ""
    source: str = ""
    note: str = ""

    def fits(self, row: Mapping[str, str]) -> bool:
        return (row["task"], row["split"]) == (self.task, self.split) and all(
            re.search(pattern, row[column])
            for column, pattern in (
                ("model", self.model),
                ("metric", self.metric),
                ("value", self.value and f"^{re.escape(self.value)}$"),
                ("source", self.source),
                ("note", self.note),
            )
        )


# The first rule that fits applies.
RULES = (
    # JanusFlow's section on FID names GigaGAN's implementation. It covers the two models that the
    # authors measured, not the rows that their table quotes.
    Rule("mjhq", "30k", "30k, GigaGAN's preparation", "^(JanusFlow|Janus-1.3B)$"),
    Rule("mjhq", "30k", "30k, MetaQuery's preparation", "^MetaQuery", source=METAQUERY),
    Rule("mjhq", "30k", "30k, MetaQuery's preparation", note="by the MetaQuery authors"),
    Rule("mjhq", "30k", "30k, clean-fid", note="with clean-fid"),
    Rule("mjhq", "30k", "30k, 1024 px", note="1024 px"),
    Rule("mjhq", "30k", "30k, preparation not stated"),
    Rule("coco30k", "30k", "30k, GigaGAN's preparation", note="GigaGAN script"),
    Rule("coco30k", "30k", "30k, another script", note="another script"),
    Rule("coco30k", "30k", "30k, other split, pytorch-fid", note="other split, pytorch-fid"),
    Rule("geneval", "553", "553, rewritten prompts", note="with an LLM prompt rewriter"),
    Rule("geneval", "553", "553, after RL with a GenEval reward", note="reinforcement learning"),
    Rule("dpg", "1065", "1065, rewritten prompts", note="^marked as rewritten there"),
    Rule("wise", GPT_4O, f"{GPT_4O}, marked as rewritten", note="^marked as rewritten there"),
    # Which mean of the six categories an overall is: specs of each script, and the categories.
    Rule("wise", GPT_4O, f"{GPT_4O}, unweighted", "^BAGEL", "^overall$", note="README weights"),
    Rule("wise", GPT_4O, f"{GPT_4O}, weighted", "^Emu3-Gen$", "^overall$"),
    Rule("wise", GPT_4O, f"{GPT_4O}, weighted", "^Show-o2-7B$", "^overall$", "0.44"),
    Rule("wise", GPT_4O, f"{GPT_4O}, weighting not stated", metric="^overall$"),
    Rule("wise", SNAPSHOT, f"{SNAPSHOT}, unweighted", "^OpenUni-B-512$", "^overall$"),
    Rule("wise", SNAPSHOT, f"{SNAPSHOT}, weighted", metric="^overall$"),
    Rule("mme_p", "test", "test, VLMEvalKit", note="in VLMEvalKit"),
    Rule("gedit", "EN full (GPT-4.1)", "EN full (GPT-4.1), base value of RecA", note="^base value"),
)

# What a note can say about how a number was made. Values of one cell must agree in all of these.
SAID = {
    "rewritten prompts": r"(?<!not )marked as rewritten there|prompt rewriter|"
    r"with the rewritten prompts",
    "reinforcement learning": r"after reinforcement learning",
    "GigaGAN's script": r"GigaGAN script",
    "clean-fid": r"with clean-fid",
    "pytorch-fid": r"pytorch-fid",
    "MetaQuery's settings": r"by the MetaQuery authors",
    "another script": r"with another script",
    "another split": r"other split",
    "VLMEvalKit": r"in VLMEvalKit",
    "simplified prompts": r"prompts simplified",
    "weights of the mean": r"under the README weights",
}


def assign(row: Mapping[str, str]) -> str:
    """The split of a row after RULES."""
    found = next((rule.protocol for rule in RULES if rule.fits(row)), None)
    return row["split"] if found is None else found


def said(note: str) -> frozenset[str]:
    """The entries of SAID that a note names."""
    return frozenset(name for name, pattern in SAID.items() if re.search(pattern, note))
