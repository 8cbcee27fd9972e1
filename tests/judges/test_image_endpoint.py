"""Drawing and editing by an endpoint over real HTTP: base64 and URLs, and every kind of trouble."""

from __future__ import annotations

import base64
import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_server import Act, serving
from PIL import Image

import harmon_eval
from harmon_eval.adapters._endpoint import EndpointError, Patience
from harmon_eval.adapters.openai import ImageSettings, OpenAIResponder, Settings, open_model
from harmon_eval.core import Draw, Edit, Unscorable, UserError

SECRET = "sk-very-secret"
Answer = Callable[[int, dict[str, Any]], Act]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def png(color: str = "red", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


def encoded(data: bytes = png(), **more: object) -> Act:
    item = {"b64_json": base64.b64encode(data).decode(), **more}
    return Act(json.dumps({"created": 1, "data": [item]}).encode())


def linked(url: str) -> Act:
    return Act(json.dumps({"data": [{"url": url}]}).encode())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source.png").write_bytes(png("blue"))
    return tmp_path / "source.png"


def endpoint(
    url: str, waits: list[float] | None = None, images: ImageSettings | None = None, **patience: Any
) -> OpenAIResponder:
    slept = [] if waits is None else waits
    return OpenAIResponder(
        url, "painter", patience=Patience(**patience), images=images, sleep=slept.append
    )


def color(image: object) -> tuple[int, ...]:
    assert isinstance(image, Image.Image), image
    return tuple(int(v) for v in np.asarray(image.convert("RGB"))[0, 0])


def test_a_drawing_is_asked_for_in_json_and_comes_as_base64() -> None:
    with serving(lambda n, body: encoded()) as server:
        (image,) = endpoint(server.url).draw([Draw("a red square", seed=7)])
        given = ImageSettings(size="512x512", response_format="b64_json", send_seed=True)
        endpoint(server.url, images=given).draw([Draw("a red square", seed=7)])
    assert color(image) == (255, 0, 0)
    plain, full = server.requests
    assert plain == {"model": "painter", "prompt": "a red square", "n": 1}
    assert full == {**plain, "size": "512x512", "response_format": "b64_json", "seed": 7}
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_an_edit_is_a_form_with_the_files_as_they_are(source: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.png"
    second.write_bytes(png("green"))
    with serving(lambda n, body: encoded()) as server:
        one = endpoint(server.url).edit([Edit((source,), "Make it red.", seed=3)])
        endpoint(server.url).edit([Edit((source, second), "Join them.")])
    assert color(one[0]) == (255, 0, 0)
    first, both = server.requests
    assert first == {
        **{"model": "painter", "prompt": "Make it red.", "n": "1"},
        "image": [source.read_bytes()],
    }
    assert both["image[]"] == [source.read_bytes(), second.read_bytes()]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_what_a_mask_shows_light_is_sent_transparent(source: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    Image.fromarray(np.repeat([[0, 255]], 2, 0).astype(np.uint8)).save(mask)
    with serving(lambda n, body: encoded()) as server:
        endpoint(server.url).edit([Edit((source,), "Here.", mask=mask)])
    (sent,) = server.requests[0]["mask"]
    alpha = np.asarray(Image.open(io.BytesIO(sent)))[..., 3]
    assert (alpha[:, :4] == 255).all() and (alpha[:, 4:] == 0).all()


def test_what_is_no_plain_picture_is_sent_as_png(tmp_path: Path) -> None:
    file = tmp_path / "clear.webp"
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(file, lossless=True)
    with serving(lambda n, body: encoded()) as server:
        endpoint(server.url).edit([Edit((file,), "Fill it.")])
    (sent,) = server.requests[0]["image"]
    assert color(Image.open(io.BytesIO(sent))) == (255, 255, 255)


@pytest.mark.parametrize("place", ["", "?signature=a%2Fb"])
def test_a_url_of_the_same_host_is_fetched(place: str) -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        if "path" in body:
            return Act(png("lime"))
        return linked(server.url.removesuffix("/v1") + f"/files/1.png{place}")

    with serving(act) as server:
        (image,) = endpoint(server.url).draw([Draw("x")])
    assert color(image) == (0, 255, 0)
    assert server.requests[1]["path"] == f"/files/1.png{place}"


def test_another_host_is_refused_and_with_the_flag_gets_no_key() -> None:
    with serving(lambda n, body: Act(png("lime"))) as other:
        url = other.url.removesuffix("/v1") + "/1.png"
        with serving(lambda n, body: linked(url)) as server:
            (refused,) = endpoint(server.url).draw([Draw("x")])
            assert isinstance(refused, EndpointError)
            assert "another host" in str(refused) and "any_host=true" in str(refused)
            assert not other.requests
            (image,) = endpoint(server.url, images=ImageSettings(any_host=True)).draw([Draw("x")])
    assert color(image) == (0, 255, 0)
    assert "Authorization" not in other.headers[0]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x/1", "http://[::1", "nothing"])
def test_what_is_no_url_of_the_web_is_never_opened(url: str) -> None:
    with serving(lambda n, body: linked(url)) as server:
        for allowed in (False, True):
            images = ImageSettings(any_host=allowed)
            (found,) = endpoint(server.url, images=images, attempts=1).draw([Draw("x")])
            assert isinstance(found, EndpointError | UserError)


def test_a_redirect_is_not_followed() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        if "path" in body:
            return Act(b"", 302, {"Location": "http://127.0.0.1:1/secret"})
        return linked(server.url.removesuffix("/v1") + "/1.png")

    with serving(act) as server:
        (found,) = endpoint(server.url).draw([Draw("x")])
    assert isinstance(found, EndpointError) and "HTTP 302" in str(found)


def test_a_data_url_is_read() -> None:
    url = "data:image/png;base64," + base64.b64encode(png("lime")).decode()
    with serving(lambda n, body: linked(url)) as server:
        (image,) = endpoint(server.url).draw([Draw("x")])
    assert color(image) == (0, 255, 0)


# -- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Act(b"too many", 429),
        Act(b"oops", 500),
        Act(b"\x00\xffgarbage"),
        Act(encoded().body[:40]),
        Act(b'{"data": []}'),
        Act(b"[]"),
        Act(b'{"data": [{"b64_json": "not base64!"}]}'),
        Act(dies=True),
    ],
)
def test_what_passes_is_tried_again(trouble: Act, source: Path) -> None:
    waits: list[float] = []
    with serving(lambda n, body: trouble if n < 2 else encoded()) as server:
        (image,) = endpoint(server.url, waits, backoff=2.0).edit([Edit((source,), "Red.")])
    assert color(image) == (255, 0, 0)
    assert len(server.requests) == 3
    assert 1.5 <= waits[0] <= 2.5 and 3.0 <= waits[1] <= 5.0, "the wait doubles"


def test_retry_after_is_honoured() -> None:
    waits: list[float] = []
    limited = Act(b"", 429, {"Retry-After": "7"})
    with serving(lambda n, body: limited if n == 0 else encoded()) as server:
        (image,) = endpoint(server.url, waits).draw([Draw("x")])
    assert waits == [7.0] and color(image) == (255, 0, 0)


def test_bytes_that_are_no_image_fail_alone() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        return encoded(b"no image" if body["prompt"] == "bad" else png())

    with serving(act) as server:
        bad, good = endpoint(server.url).draw([Draw("bad"), Draw("good")])
    assert isinstance(bad, EndpointError) and "the image in the reply cannot be read" in str(bad)
    assert color(good) == (255, 0, 0) and len(server.requests) == 2


def test_a_prompt_that_is_refused_fails_alone_and_once() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        refusal = b'{"error": {"message": "not allowed", "code": "moderation_blocked"}}'
        return Act(refusal, 400) if body["prompt"] == "bad" else encoded()

    with serving(act) as server:
        bad, good = endpoint(server.url).draw([Draw("bad"), Draw("good")])
    assert isinstance(bad, EndpointError) and "moderation_blocked" in str(bad)
    assert color(good) == (255, 0, 0) and len(server.requests) == 2


def test_an_error_in_a_reply_that_says_200_is_one() -> None:
    said = b'{"error": {"message": "out of memory", "code": 500}}'
    with serving(lambda n, body: Act(said) if n == 0 else encoded()) as server:
        (image,) = endpoint(server.url).draw([Draw("x")])
    assert color(image) == (255, 0, 0)


def test_a_wrong_key_ends_the_run_and_is_not_shown(source: Path) -> None:
    said = json.dumps({"error": f"bad key {SECRET}"}).encode()
    with (
        serving(lambda n, body: Act(said, 401)) as server,
        pytest.raises(UserError, match="check the key in OPENAI_API_KEY") as caught,
    ):
        endpoint(server.url).edit([Edit((source,), "a"), Edit((source,), "b")])
    assert SECRET not in str(caught.value)


def test_used_up_credit_is_not_tried_again() -> None:
    with (
        serving(lambda n, body: Act(b'{"code": "insufficient_quota"}', 429)) as server,
        pytest.raises(UserError, match="insufficient_quota"),
    ):
        endpoint(server.url).draw([Draw("a")])
    assert len(server.requests) == 1


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(UserError, match=f"cannot reach {url}"):
        endpoint(url, attempts=2).draw([Draw("a")])


def test_a_server_without_such_a_path_is_said() -> None:
    with (
        serving(lambda n, body: Act(b"not found", 404)) as server,
        pytest.raises(UserError, match="names of URL and model"),
    ):
        endpoint(server.url).draw([Draw("a")])


def test_a_web_page_is_no_image() -> None:
    with serving(lambda n, body: Act(b"<html>hello</html>")) as server:
        (found,) = endpoint(server.url).draw([Draw("a")])
    assert isinstance(found, EndpointError) and "does the URL end in /v1?" in str(found)


def test_a_slow_endpoint_times_out_and_the_others_are_answered() -> None:
    def slow(number: int, body: dict[str, Any]) -> Act:
        return Act(encoded().body, seconds=1.0 if body["prompt"] == "slow" else 0.0)

    with serving(slow) as server:
        found = endpoint(server.url, timeout=0.3, attempts=2).draw([Draw("slow"), Draw("fast")])
    assert isinstance(found[0], EndpointError) and "Timeout" in str(found[0])
    assert color(found[1]) == (255, 0, 0)


def test_a_reply_without_end_is_not_read() -> None:
    with serving(lambda n, body: Act(b" " * 5000)) as server:
        (found,) = endpoint(server.url, largest=1000).draw([Draw("a")])
    assert isinstance(found, EndpointError) and "more than 1000 bytes" in str(found)


def test_a_source_that_is_none_fails_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with serving(lambda n, body: encoded()) as server:
        edits = [Edit((tmp_path / "broken.png",), "a"), Edit((source,), "b")]
        broken, sound = endpoint(server.url).edit(edits)
    assert isinstance(broken, Unscorable) and color(sound) == (255, 0, 0)


def test_only_so_many_run_at_once_and_the_order_stays() -> None:
    def act(number: int, body: dict[str, Any]) -> Act:
        shade = int(body["prompt"])
        return Act(encoded(png(f"rgb({shade},0,0)")).body, seconds=0.02 if shade % 2 else 0.0)

    with serving(act) as server:
        found = endpoint(server.url, concurrency=3).draw([Draw(str(n)) for n in range(9)])
    assert [color(image)[0] for image in found] == list(range(9))
    assert server.most_at_once <= 3


def test_a_run_that_edits_by_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint gives the source back: a copy, which follows no instruction."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    with serving(lambda n, body: encoded(body["image"][0])) as server:
        model = f"openai:painter@{server.url}?size=64x64"
        found = harmon_eval.evaluate(model, tasks="gedit", output=tmp_path / "run", limit=6)
    assert (found["gedit"].n, found["gedit"].score) == (6, 0.0)
    settings = json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"]["model"]
    assert settings["settings"] == {"size": "64x64", "temperature": 0.0}
    told = "".join(f.read_text() for f in (tmp_path / "run").rglob("*.json*") if f.is_file())
    assert SECRET not in told


def test_settings_on_the_command_line() -> None:
    model = open_model("m@http://localhost:8000/v1", Settings(size="1024x1024", any_host=True))
    assert model.settings == {"temperature": 0.0, "size": "1024x1024"}
    assert model.can("draw") and model.can("edit") and model.can("ask")
