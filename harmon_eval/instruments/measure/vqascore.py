"""VQAScore of any image and text: ``measure=vqascore:JUDGE?recipe=NAME``.

JUDGE is any judge that gives probabilities, such as ``vlm:PATH``, ``openai:MODEL@URL`` or the mini
suite's ``rules``. The recipes are those of ``instruments.vqascore`` (default: ``yes_mass``, ours).
Release 3.0 of t2v_metrics pads an image to a square with CLIP's mean colour before CLIP-FlanT5 and
LLaVA see it; so does the recipe ``clip_flant5`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from harmon_eval import registry
from harmon_eval.core import InstrumentMissing, Unscorable, UserError
from harmon_eval.instruments.judging import Judge, Verdict
from harmon_eval.instruments.measuring import Values
from harmon_eval.instruments.vqascore import OURS, RECIPES
from harmon_eval.instruments.weights import Weights
from harmon_eval.replies.probabilities import First, Whole, read

PADDED = ("clip_flant5",)
MEAN_COLOR = (122, 116, 104)  # of CLIP's pixels, as LLaVA's code rounds it


@dataclass(frozen=True)
class Settings:
    """``recipe``: a name of ``instruments.vqascore.RECIPES``."""

    recipe: str = OURS

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe={self.recipe}: give one of {', '.join(RECIPES)}")


class VqaScore:
    """How likely a judge says that the image shows the text, by one of the recipes."""

    def __init__(self, judge: Judge, recipe: str = OURS) -> None:
        self.judge, self.recipe = judge, recipe
        self.name = f"vqascore-{recipe},{judge.name}"
        self.identity = f"vqascore recipe={recipe} {judge.identity}"

    def measure(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Values:
        """RGB images and the text of each -> scores in [0, 1], or why there is none."""
        recipe = RECIPES[self.recipe]
        with TemporaryDirectory() as folder:
            asked = []
            for number, (image, text) in enumerate(zip(images, texts, strict=True)):
                file = Path(folder) / f"{number}.png"
                (padded(image) if self.recipe in PADDED else image).save(file)
                asked.append(recipe.ask(text, file))
            parse = partial(read, options=len(recipe.options))
            verdicts: list[Verdict[First | Whole] | Unscorable] = self.judge.verdicts(asked, parse)
        found: Values = []
        for verdict, text in zip(verdicts, texts, strict=True):
            try:
                if isinstance(verdict, Unscorable):
                    raise verdict
                if not text.strip():
                    raise Unscorable("the image has no text to be compared with")
                found.append(recipe.read(verdict.value).value)
            except Unscorable as error:
                found.append(error)
        return found


def padded(image: Image.Image) -> Image.Image:
    """The image in the middle of a square of the mean colour, as LLaVA's ``expand2square``."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), MEAN_COLOR)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def open_instrument(argument: str, settings: Settings, find: Callable[[Weights], Path]) -> VqaScore:
    """Raises InstrumentMissing without a judge, UserError for one that gives no probabilities."""
    if not argument:
        raise InstrumentMissing(
            "vqascore needs a judge that gives probabilities: measure=vqascore:vlm:PATH or "
            "measure=vqascore:openai:MODEL@URL"
        )
    judge = registry.instrument("judge", argument, find)
    if not judge.responder.can("score"):
        raise UserError(f"{judge.name} gives no probabilities: choose another judge")
    return VqaScore(judge, settings.recipe)
