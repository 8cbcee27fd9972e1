"""Images from an endpoint: what a request for one holds, and what its reply says."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harmon_eval.adapters._completions import NoCompletion, raise_error
from harmon_eval.adapters._endpoint import EndpointError, Upload
from harmon_eval.core import Edit, Unscorable
from harmon_eval.files.images import decode_image, open_image, plain, read_picture, upright
from harmon_eval.store.pngs import png

GENERATE, EDIT = "/images/generations", "/images/edits"
SENT_AS_THEY_ARE = ("PNG", "JPEG", "GIF", "WEBP")
MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
# Fields of a chat's request that these endpoints do not have.
OF_CHATS = ("temperature", "max_tokens", "max_completion_tokens", "chat_template_kwargs")


@dataclass(frozen=True)
class ImageSettings:
    """How images are asked for. ``any_host``: URLs in replies may lead to other hosts, which get no
    key. ``send_seed``: the sample's seed goes into the request."""

    size: str | None = None
    response_format: str | None = None
    send_seed: bool = False
    any_host: bool = False

    def given(self) -> dict[str, Any]:
        """Those that differ from the endpoint's own ways, for the provenance."""
        values: dict[str, Any] = {
            "size": self.size,
            "response_format": self.response_format,
            "send_seed": self.send_seed or None,
        }
        return {name: value for name, value in values.items() if value is not None}


def uploads(request: Edit) -> list[Upload]:
    """The source images, and the mask with what is to be edited transparent, as the endpoint wants.

    One image goes as ``image``, several as ``image[]``. Raises Unscorable for what is no picture.
    """
    field = "image" if len(request.images) == 1 else "image[]"
    files = [(field, _upload(path, number)) for number, path in enumerate(request.images)]
    if request.mask is not None:
        files.append(
            ("mask", ("mask.png", _transparent(request.mask, request.images[0]), "image/png"))
        )
    return files


def _upload(path: Path, number: int) -> tuple[str, bytes, str]:
    image = open_image(path)
    if image.format in MEDIA and plain(image) and path.is_file():
        kind = MEDIA[image.format]
        return f"{number}.{kind.rpartition('/')[2]}", path.read_bytes(), kind
    return f"{number}.png", bytes(png(read_picture(path))), "image/png"


def _transparent(mask: Path, source: Path) -> bytes:
    """The source with alpha 0 where the mask is light, at the source's size."""
    picture = read_picture(source)
    light = read_picture(mask).convert("L").resize(picture.size, Image.Resampling.NEAREST)
    alpha = np.where(np.asarray(light) > 127, 0, 255).astype(np.uint8)
    picture.putalpha(Image.fromarray(alpha))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def read_image(content: bytes, fetch: Callable[[str], bytes]) -> Image.Image:
    """The image in a reply: base64, or a URL that ``fetch`` reads.

    Raises ErrorBody, NoCompletion for what is no such reply, and EndpointError for an image that
    cannot be read."""
    if content.lstrip()[:1] == b"<":
        raise NoCompletion("a web page and no image: does the URL end in /v1?", False)
    try:
        answer = json.loads(content)
        raise_error(_without_choices(answer))
        first = answer["data"][0]
        if encoded := first.get("b64_json"):
            data = base64.b64decode(_plain_base64(encoded), validate=True)
        elif str(first["url"]).startswith("data:"):
            data = base64.b64decode(_plain_base64(first["url"]), validate=True)
        else:
            data = fetch(str(first["url"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NoCompletion(f"no image in the reply ({type(error).__name__}: {error})") from None
    try:
        return decode_image(data, "the image in the reply")
    except Unscorable as error:
        raise EndpointError(str(error)) from None


def _without_choices(answer: Any) -> Any:
    """As ``raise_error`` wants it: a reply with data is none of the forms that mean an error."""
    if isinstance(answer, dict) and answer.get("data"):
        return {key: value for key, value in answer.items() if key in ("error",)}
    return answer


def _plain_base64(text: str) -> str:
    """Without the head of a data URL and white space."""
    head, comma, rest = text.partition(",")
    return "".join((rest if comma and head.startswith("data:") else text).split())


def as_form(fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a form are texts."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in fields.items()
    }


def data_url(path: Path) -> str:
    """The image file in a URL, its bytes unchanged where any endpoint can read them.

    Raises Unscorable for what is no sound picture."""
    image = open_image(path)
    if image.format in SENT_AS_THEY_ARE and plain(image):
        data, kind = path.read_bytes(), image.format
    else:
        buffer = io.BytesIO()
        upright(image).save(buffer, "PNG")
        data, kind = buffer.getvalue(), "PNG"
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"
