"""The JSON that clients send, by wire format: what is not so is refused with its place.

UniRL: Tencent-Hunyuan/UniRL @ 1a7b501; Flow-Factory: X-GenGroup/Flow-Factory @ a0b2bc5.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, model_validator

from harmon_eval.serving.rewards import check_json, check_text

Text = Annotated[str, AfterValidator(check_text)]
Metadata = Annotated[dict[str, Any], AfterValidator(check_json)]
Base64 = Annotated[str, Field(description="an image file (PNG, JPEG, WebP ...) in base64")]

MEDIA = "HistoryTurn must include at least one of image_b64, video_b64, or video_path"


class Turn(BaseModel):
    """What was said and drawn in one turn; only the last turn's image is marked."""

    text: Text
    image_b64: Base64 | None = None
    video_b64: str | None = None
    video_path: str | None = None

    @model_validator(mode="after")
    def _has_media(self) -> Turn:
        if self.video_b64 is not None and self.video_path is not None:
            raise ValueError("video_b64 and video_path are mutually exclusive")
        if self.image_b64 is None and self.video_b64 is None and self.video_path is None:
            raise ValueError(MEDIA)
        return self


class ScoreRequest(BaseModel):
    history: list[Turn]
    required_rewards: list[str]
    metadata: Metadata | None = None


class ScoreBody(BaseModel):
    """``POST /score`` of UniRL."""

    requests: list[ScoreRequest]


class ScoreReply(BaseModel):
    """``results[i][reward][number]``; a reward that failed stands in ``errors[i]`` instead."""

    results: list[dict[str, dict[str, float | None]]]
    errors: list[dict[str, str]]


class ComputeBody(BaseModel):
    """``POST /compute`` of Flow-Factory."""

    prompt: list[Text]
    image: list[Base64] | None = None
    video: Any = None
    condition_images: Any = None
    condition_videos: Any = None
    metadata: list[Metadata] | None = Field(
        None, description="one object for each prompt; Flow-Factory's own client sends none"
    )


class ComputeReply(BaseModel):
    rewards: list[float]


class MarkRequest(BaseModel, extra="forbid"):
    """One image, or one reply of a task that asks."""

    prompt: Text = ""
    image: Base64 | None = None
    reply: Text | None = None
    metadata: Metadata | None = Field(
        None,
        description="what the task marks by, such as GenEval's tag and include; or "
        '{"sample": ID} of a sample of the benchmark',
    )

    @model_validator(mode="after")
    def _has_one(self) -> MarkRequest:
        if (self.image is None) == (self.reply is None):
            raise ValueError("give an image or a reply")
        return self


class MarkBody(BaseModel, extra="forbid"):
    """``POST /mark``: the plain form. It is ours, so a field that it lacks is a slip."""

    samples: list[MarkRequest]
    rewards: list[str] | None = Field(None, description="default: all that are served")
    rows: bool = Field(False, description="also give the whole mark: what was found, and why")


class Mark(BaseModel):
    """``scores[reward][number]``; a reward that failed stands in ``errors`` instead."""

    scores: dict[str, dict[str, float | None]]
    errors: dict[str, str]
    rows: dict[str, dict[str, Any]] | None = None


class MarkReply(BaseModel):
    marks: list[Mark]
