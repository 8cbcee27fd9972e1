"""GenEval 2's file: ``geneval2_data.jsonl``, which its users bring (CC BY-NC 4.0)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harmon_eval.core import Remote, Source, UserError
from harmon_eval.files.question_files import field, read_json_rows, whole_number

FILE = "geneval2_data.jsonl"
OFFICIAL = Source(
    files=(FILE,),
    text=f"{FILE} of facebookresearch/GenEval2 (CC BY-NC 4.0)",
    downloads=(
        Remote(
            f"https://raw.githubusercontent.com/facebookresearch/GenEval2/a6e82d2/{FILE}",
            FILE,
            sha256="09233adbc9f877fba205f1a20efa4a8640e7e62a91dfd55893562bed8a928e43",
        ),
    ),
)


@dataclass(frozen=True)
class Prompt:
    """A prompt with its questions, their answers (Yes, or a number in words) and their skills."""

    text: str
    atoms: int
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    skills: tuple[str, ...]


def read_prompts(file: Path) -> list[Prompt]:
    """Raises UserError naming the line whose lists do not fit together."""
    prompts = []
    for number, row in enumerate(read_json_rows(file), start=1):
        where = f"{file}, line {number}"
        pairs, skills = row.get("vqa_list"), row.get("skills")
        if (
            not isinstance(pairs, list)
            or not isinstance(skills, list)
            or not pairs
            or len(pairs) != len(skills)
            or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
        ):
            raise UserError(
                f"{where}: vqa_list must be pairs of question and answer, skills as many"
            )
        prompts.append(
            Prompt(
                text=field(row, "prompt", where),
                atoms=whole_number(row, "atom_count", where),
                questions=tuple(str(question) for question, _ in pairs),
                answers=tuple(str(answer) for _, answer in pairs),
                skills=tuple(map(str, skills)),
            )
        )
    if not prompts:
        raise UserError(f"{file} holds no prompts")
    return prompts
