"""The route that Flow-GRPO's and verl-omni's clients post their pickles to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

from harmon_eval.core import Unscorable
from harmon_eval.serving import pickles
from harmon_eval.serving.outcomes import Failure, Found, Outcome, first
from harmon_eval.serving.pictures import Picture
from harmon_eval.serving.rewards import Asked, check_json, check_text
from harmon_eval.serving.service import Busy, Service

OFFICIAL, GRADED = "geneval", "geneval:flow_grpo"


def add_route(app: FastAPI, service: Service) -> None:
    @app.post("/", include_in_schema=False)
    async def post(request: Request, reward: str | None = None) -> Response:
        """Errors are text: these clients read any body of status 200 as a pickle."""
        try:
            reply = await _reply(service, await request.body(), reward)
        except Unscorable as error:
            return Response(str(error), 400, media_type="text/plain")
        except HTTPException as error:
            return Response(str(error.detail), error.status_code, media_type="text/plain")
        except Busy as error:
            return Response(str(error), 503, media_type="text/plain")
        return Response(pickles.written(reply), media_type="application/octet-stream")


async def _reply(service: Service, data: bytes, reward: str | None) -> dict[str, Any]:
    body = pickles.read(data)
    most = service.limits.images
    images = pickles.listed(body, "images", bytes, most)
    if "meta_datas" in body:
        metadata = pickles.listed(body, "meta_datas", dict, most)
        return await _geneval(service, images, metadata, body.get("only_strict") is True)
    if "prompts" not in body:
        raise Unscorable("prompts: the request has none, and no reward here does without")
    name = reward or next(iter(service.rewards))
    if name not in service.rewards:
        raise Unscorable(f"unknown reward: {name[:80]}. available: {list(service.rewards)}")
    prompts = pickles.listed(body, "prompts", str, most)
    asked = [Asked(_sound(place, text, check_text)) for place, text in enumerate(prompts)]
    found = await _twice(service, images, asked, [name])
    return {"scores": [first(one[name].scores) for one in found]}


async def _geneval(
    service: Service, images: Sequence[bytes], metadata: Sequence[dict[str, Any]], strict: bool
) -> dict[str, Any]:
    """Flow-GRPO's five values. ``strict``: its ``only_strict``, which leaves ``rewards`` all 0."""
    if lacking := [name for name in (OFFICIAL, GRADED) if name not in service.rewards]:
        raise HTTPException(500, f"start the server with {lacking[0]} too: this format needs it")
    asked = []
    for place, own in enumerate(metadata):
        _sound(place, own, check_json)
        asked.append(Asked(str(own.get("prompt", "")), own))
    found = await _twice(service, images, asked, [OFFICIAL, GRADED])
    right = [0.0 if strict else one[OFFICIAL].scores["geneval"] for one in found]
    strictly = [one[GRADED].scores["strict"] for one in found]
    tags = [str(own.get("tag")) for own in metadata]
    return {
        "scores": [one[GRADED].scores["score"] for one in found],
        "rewards": right,
        "strict_rewards": strictly,
        "group_rewards": pickles.grouped(tags, right),
        "group_strict_rewards": pickles.grouped(tags, strictly),
    }


def _sound(place: int, value: Any, check: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise Unscorable(f"sample {place}: {error}") from None


async def _twice(
    service: Service, images: Sequence[bytes], asked: Sequence[Asked], names: Sequence[str]
) -> list[dict[str, Found]]:
    """Marks of every image, tried once more where one failed: these clients read an error as the
    end. Raises HTTPException, naming the sample."""
    if len(images) != len(asked):
        raise Unscorable(f"{len(images)} images for {len(asked)} samples")
    pictures: list[Picture] = []
    for place, picture in enumerate(await service.pictures(images)):
        if isinstance(picture, Unscorable):
            raise Unscorable(f"sample {place}: {picture}")
        pictures.append(picture)
    wanted = [(own, picture, names) for own, picture in zip(asked, pictures, strict=True)]
    outcomes = await service.marks(wanted)
    if any(map(_may_be_tried, (o for own in outcomes for o in own.values()))):
        outcomes = await service.marks(wanted)
    found: list[dict[str, Found]] = []
    for place, own in enumerate(outcomes):
        for name, outcome in own.items():
            if isinstance(outcome, Failure):
                status = 400 if outcome.asked else 500
                raise HTTPException(status, f"sample {place}: {name}: {outcome.reason}")
        found.append({name: o for name, o in own.items() if isinstance(o, Found)})
    return found


def _may_be_tried(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure) and not outcome.asked
