"""The HTTP interface: four wire formats over one service.

UniRL's ``/score``, Flow-Factory's ``/compute``, a plain ``/mark``, and on request the pickles of
Flow-GRPO and verl-omni. Sources and what was executed: the notes in ``forms`` and ``pickles``.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException

from harmon_eval.core import Row, Unscorable
from harmon_eval.files.images import TooLarge
from harmon_eval.running.provenance import package_versions
from harmon_eval.serving import forms, pickled
from harmon_eval.serving.outcomes import Failure, Found, Outcome, first
from harmon_eval.serving.pictures import Picture
from harmon_eval.serving.rewards import Asked
from harmon_eval.serving.service import Busy, Service
from harmon_eval.settings import did_you_mean

NO_JSON = "send JSON with the header Content-Type: application/json"
SHOWN = 200  # characters of an input that an error repeats


def application(service: Service, pickles: bool = False) -> FastAPI:
    """``pickles``: also the two formats that send them."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="harmon_eval serve",
        version=package_versions().get("harmon-eval", "0"),
        description="Marks of images for training: "
        + ", ".join(f"`{name}`" for name in service.rewards),
        lifespan=lifespan,
    )
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(StarletteHTTPException, _refused)
    _add_facts(app, service)
    _add_unirl(app, service)
    _add_flow_factory(app, service)
    _add_plain(app, service)
    if pickles:
        pickled.add_route(app, service)
    return app


# -- what may go wrong ---------------------------------------------------------------------------


async def _misshapen(request: Request, error: Exception) -> Response:
    """422 as FastAPI gives it, without sending images back, nor what is no JSON."""
    assert isinstance(error, RequestValidationError)
    detail = [
        {
            "type": one["type"],
            "loc": list(one["loc"]),
            "msg": NO_JSON if isinstance(one.get("input"), bytes) else str(one["msg"])[:1000],
            "input": _shown(one.get("input")),
        }
        for one in error.errors()[:20]
    ]
    # By ASCII only: an input may hold half of a surrogate pair.
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    """FastAPI does not say what it could not parse."""
    assert isinstance(error, StarletteHTTPException)
    if isinstance(error.__cause__, RecursionError):
        return JSONResponse({"detail": "the JSON is nested too deeply"}, error.status_code)
    if isinstance(error.__cause__, UnicodeDecodeError):
        return JSONResponse({"detail": "the body is no JSON in UTF-8"}, error.status_code)
    if error.status_code == 404:
        paths = sorted({route.path for route in request.app.routes if isinstance(route, APIRoute)})
        more = "" if "/" in paths else "; with --pickle also /"
        detail = f"there is no {request.url.path[:80]}: there are {', '.join(paths)}{more}"
        return JSONResponse({"detail": detail}, 404)
    return await http_exception_handler(request, error)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k)[:SHOWN]: _brief(v) for k, v in list(value.items())[:20]}
    return _brief(value)


def _brief(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= SHOWN else f"{value[:SHOWN]}... ({len(value)} characters)"
    if value is None or isinstance(value, bool | int):
        return value if abs(value or 0) < 2**53 else "a large number"
    return f"a {type(value).__name__}"


async def _busy(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})


def check_count(service: Service, number: int, field: str) -> None:
    if number > service.limits.images:
        raise HTTPException(
            413,
            f"{field}: {number} samples in one request; at most {service.limits.images} "
            "(--max-images)",
        )


def check_rewards(service: Service, names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in service.rewards:
            known = list(service.rewards)
            raise HTTPException(
                400,
                f"{where}: unknown reward: {name[:80]}. available: {known}; "
                + did_you_mean(name[:80], known),
            )


async def pictures(
    service: Service, images: Sequence[str], where: Callable[[int], str]
) -> list[Picture]:
    """Decoded images; 400 or 413 for the whole request, with the place of the first bad one."""
    made: list[Picture] = []
    for place, picture in enumerate(await service.pictures(images)):
        if isinstance(picture, Unscorable):
            status = 413 if isinstance(picture, TooLarge) else 400
            raise HTTPException(status, f"{where(place)}: invalid image: {picture}")
        made.append(picture)
    return made


def number(value: float) -> float | None:
    """JSON has no NaN: UniRL's null, which its client counts as a failure."""
    return value if math.isfinite(value) else None


def numbers(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: number(value) for name, value in scores.items()}


def reasons(place: int, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    return {
        name: f"sample {place}: {outcome.reason}"
        for name, outcome in outcomes.items()
        if isinstance(outcome, Failure)
    }


# -- the routes ----------------------------------------------------------------------------------


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Answers only when the instruments are loaded."""
        return {"status": "ok", "rewards": service.states()}

    @app.get("/rewards")
    async def rewards() -> dict[str, list[str]]:
        return {"rewards": list(service.rewards)}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """For Prometheus."""
        for line in service.lines:
            sizes, line.batches = line.batches, []
            service.statistics.batches(line.name, sizes)
        return Response(service.statistics.text(), media_type="text/plain; version=0.0.4")


def _add_unirl(app: FastAPI, service: Service) -> None:
    @app.post("/score")
    async def score(body: forms.ScoreBody) -> forms.ScoreReply:
        """UniRL's format: several rewards for each image."""
        check_count(service, len(body.requests), "requests")
        for place, request in enumerate(body.requests):
            where = f"requests[{place}]"
            if not request.history:
                raise HTTPException(400, f"{where}: history must not be empty")
            check_rewards(service, request.required_rewards, where)
            if request.history[-1].image_b64 is None:
                raise HTTPException(400, f"{where}: only images are marked, no videos")
        images = await pictures(
            service,
            [request.history[-1].image_b64 or "" for request in body.requests],
            lambda place: f"requests[{place}].history[-1].image_b64",
        )
        asked = [
            (Asked(r.history[-1].text, r.metadata or {}), picture, r.required_rewards)
            for r, picture in zip(body.requests, images, strict=True)
        ]
        found = await service.marks(asked)
        return forms.ScoreReply(
            results=[
                {n: numbers(o.scores) for n, o in own.items() if isinstance(o, Found)}
                for own in found
            ],
            errors=[reasons(place, own) for place, own in enumerate(found)],
        )


def _add_flow_factory(app: FastAPI, service: Service) -> None:
    @app.post("/compute")
    async def compute(
        request: Request, body: forms.ComputeBody, reward: str | None = None
    ) -> forms.ComputeReply:
        """Flow-Factory's format: one number an image. `?reward=NAME` chooses the reward."""
        for other in request.query_params.keys() - {"reward"}:
            raise HTTPException(400, f"{other[:80]}: not known in the URL: give ?reward=NAME")
        if len(request.query_params.getlist("reward")) > 1:
            raise HTTPException(400, "reward: one number an image: give one ?reward=NAME")
        count = len(body.prompt)
        check_count(service, count, "prompt")
        name = next(iter(service.rewards)) if reward is None else reward
        check_rewards(service, [name], "reward")
        if body.video is not None or body.image is None:
            raise HTTPException(400, "image: only images are marked, no videos")
        for field, values in (("image", body.image), ("metadata", body.metadata)):
            if values is not None and len(values) != count:
                raise HTTPException(400, f"{field}: {len(values)} for {count} prompts")
        images = await pictures(service, body.image, lambda place: f"image[{place}]")
        metadata = body.metadata or [{}] * count
        asked = [
            (Asked(prompt, own), picture, [name])
            for prompt, own, picture in zip(body.prompt, metadata, images, strict=True)
        ]
        outcomes = [own[name] for own in await service.marks(asked)]
        return forms.ComputeReply(rewards=headlines(outcomes))


def headlines(outcomes: Sequence[Outcome]) -> list[float]:
    """One number an image; a request with an image that has none fails as a whole, for these
    formats know no other way to say so."""
    found = []
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Failure):
            raise HTTPException(400 if outcome.asked else 500, f"sample {place}: {outcome.reason}")
        value = first(outcome.scores)
        if not math.isfinite(value):
            raise HTTPException(500, f"sample {place}: the reward is {value}")
        found.append(value)
    return found


def _add_plain(app: FastAPI, service: Service) -> None:
    @app.post("/mark", response_model_exclude_none=False)
    async def mark(request: Request, body: forms.MarkBody) -> forms.MarkReply:
        """The plain format: numbers and reasons of each sample, and the whole mark if asked."""
        for other in request.query_params:
            raise HTTPException(400, f"{other[:80]}: not read from the URL: say it in the body")
        check_count(service, len(body.samples), "samples")
        names = list(service.rewards) if body.rewards is None else body.rewards
        if not names:
            known = ", ".join(service.rewards)
            raise HTTPException(
                400, f"rewards: the list is empty: name some of {known}, or leave it out for all"
            )
        check_rewards(service, names, "rewards")
        shown = [place for place, sample in enumerate(body.samples) if sample.image is not None]
        images = await pictures(
            service,
            [body.samples[place].image or "" for place in shown],
            lambda number: f"samples[{shown[number]}].image",
        )
        by_place = dict(zip(shown, images, strict=True))
        found = await service.marks(
            [
                (Asked(s.prompt, s.metadata or {}), by_place.get(place, s.reply or ""), names)
                for place, s in enumerate(body.samples)
            ]
        )
        return forms.MarkReply(
            marks=[_mark(place, own, body.rows) for place, own in enumerate(found)]
        )


def _mark(place: int, outcomes: Mapping[str, Outcome], rows: bool) -> forms.Mark:
    marked = {name: o for name, o in outcomes.items() if isinstance(o, Found)}
    return forms.Mark(
        scores={name: numbers(o.scores) for name, o in marked.items()},
        errors=reasons(place, outcomes),
        rows={name: as_json(o.row) for name, o in marked.items()} if rows else None,
    )


def as_json(row: Row) -> dict[str, Any]:
    """A row as plain JSON values."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return number(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
