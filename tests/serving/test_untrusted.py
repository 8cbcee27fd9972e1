"""What strangers send: each gets a status that says what is wrong, and the server goes on."""

from __future__ import annotations

import base64
import io
import json
import pickle
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harmon_eval.core import UserError
from harmon_eval.serving.service import Limits
from harmon_eval.serving.start import Settings
from harmon_eval.tasks.geneval import prompts

from .servers import Running, b64, circle, of_mini, picture, running, scripted

RED = picture(circle())
PROMPT = "a photo of a circle"


def bomb(side: int) -> bytes:
    """A PNG of some kilobytes that says it has ``side`` squared pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * min(side, 100)), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("small")
    limits = Limits(timeout=20, body=2**18, images=8, pixels=2**22)
    own = of_mini("geneval,geneval:share,geneval:flow_grpo", home)
    with running(own, home / "images", limits, token="secret", pickle=True) as found:
        found.headers = {"Authorization": "Bearer secret"}
        yield found
        # Whatever came before, a sound request is still marked.
        assert found.post("/compute", {"prompt": [PROMPT], "image": [b64(RED)]}).json() == {
            "rewards": [1.0]
        }


def plain(*samples: Any) -> dict[str, Any]:
    return {"samples": list(samples)}


def sample(image: str | None = None, prompt: str = PROMPT, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "image": b64(RED) if image is None else image, **more}


@pytest.mark.parametrize(
    ("image", "status", "said"),
    [
        ("!!!", 400, "no base64"),
        ("", 400, "empty"),
        (b64(b"GIF89a"), 400, "cannot be read as an image"),
        (b64(b"%!PS-Adobe-3.0 EPSF-3.0\n"), 400, "none of PNG"),
        (b64(RED[:-30]), 400, "cannot be read"),
        (b64(bomb(8192)), 413, "8192 x 8192 pixels, and at most "),
        (b64(bomb(60_000)), 413, "60000"),
    ],
)
def test_an_image_that_is_none_is_refused_with_its_place(
    small: Running, image: str, status: int, said: str
) -> None:
    for path, body, place in (
        ("/mark", plain(sample(), sample(image)), "samples[1]"),
        ("/compute", {"prompt": [PROMPT] * 2, "image": [b64(RED), image]}, "image[1]"),
        (
            "/score",
            {
                "requests": [
                    {"history": [{"text": PROMPT, "image_b64": one}], "required_rewards": []}
                    for one in (b64(RED), image)
                ]
            },
            "requests[1]",
        ),
    ):
        found = small.post(path, body)
        assert found.status_code == status, found.text
        detail = found.json()["detail"]
        assert detail.startswith(place), detail
        assert said in detail or not image, detail
        assert "/" not in detail.replace("and/or", "")  # no place on this machine


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ("{", 422, "json"),
        ("[" * 100_000 + "]" * 100_000, 400, "nested"),
        ('{"samples": ' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "}", 400, "nested"),
        ("[]", 422, "body"),
        ('{"samples": 1}', 422, "samples"),
        ('{"samples": [1]}', 422, "samples"),
        ('{"samples": [{"prompt": 1, "reply": "x"}]}', 422, "prompt"),
        ('{"samples": [{"prompt": "x"}]}', 422, "an image or a reply"),
        ('{"samples": [{"reply": "x", "metadata": {"a": NaN}}]}', 422, "metadata"),
        ('{"samples": [{"reply": "x", "metadata": {"a": "\\ud800"}}]}', 422, "surrogate"),
        ('{"samples": [{"reply": "x", "prompt": "\\udfff"}]}', 422, "surrogate"),
        ('{"samples": [{"reply": "x", "metadata": [1]}]}', 422, "metadata"),
        (json.dumps({"samples": [{"reply": "x", "prompt": "y" * 30_000}]}), 422, "30000"),
        (json.dumps({"samples": [{"reply": "x"}] * 9}), 413, "9 samples"),
        (json.dumps({"samples": [], "rewards": ["genevl"]}), 400, "did you mean 'geneval'"),
        (b"\xff\xfe\x00", 400, "UTF-8"),
        ("x" * 300_000, 413, "MiB"),
    ],
)
def test_a_body_of_another_form_is_refused(
    small: Running, content: Any, status: int, said: str
) -> None:
    found = small.send("/mark", content)
    assert found.status_code == status, found.text
    assert said in found.text and len(found.text) < 20_000


def test_a_million_prompts_are_too_many(small: Running) -> None:
    body = json.dumps({"prompt": [""] * 50_000, "image": []})
    found = small.send("/compute", body)
    assert found.status_code == 413 and "50000 samples" in found.text
    assert small.send("/compute", b"[" + b'"",' * 1_000_000).status_code == 413


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tag": "count"}, "metadata.tag"),
        ({"include": "dog"}, "metadata.include"),
        ({"include": [{"class": "circle", "count": -1}]}, "include[0].count"),
        ({"include": [{"class": "circle", "count": 10**30, "color": "pinkish"}]}, "color"),
        ({"include": [{"class": "unicorn", "count": 1}]}, "knows no 'unicorn'"),
        ({"include": [{"class": "../../x", "count": 1}]}, "knows no"),
        ({"tag": {"$ne": 1}}, "metadata.tag"),
        ({"sample": "../../etc/passwd"}, "no sample"),
    ],
)
def test_metadata_with_a_flaw_are_an_error_of_their_sample_alone(
    small: Running, change: dict[str, Any], said: str
) -> None:
    sound = prompts.single("circle")
    body = plain(sample(metadata=sound), sample(metadata={**sound, **change}))
    first, second = small.post("/mark", body).json()["marks"]
    assert first["errors"] == {} and first["scores"]["geneval"]["geneval"] == 1.0
    assert second["scores"] == {}
    assert all(
        reason.startswith("sample 1: ") and said in reason for reason in second["errors"].values()
    )


def test_a_pickle_that_would_run_something_is_refused(small: Running, tmp_path: Path) -> None:
    class Owned:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "owned").touch, ())

    place = pickle.LONG_BINPUT + struct.pack("<I", 2**31 - 1)
    for data in (
        pickle.dumps({"images": Owned()}),
        pickle.dumps(Owned(), protocol=0),
        b"cos\nsystem\n(S'true'\ntR.",
        pickle.EMPTY_DICT + place + b".",  # gigabytes for its memo
        pickle.BYTEARRAY8 + struct.pack("<Q", 2**62) + b".",
        b"\x80\x04.",
        b"",
        pickle.dumps([1]),
        pickle.dumps({"images": [1], "prompts": ["a"]}),
        pickle.dumps({"images": [RED], "prompts": ["a", "b"]}),
        pickle.dumps({"images": [RED], "meta_datas": [[]]}),
        pickle.dumps({"images": [b"x"], "meta_datas": [prompts.single("circle")]}),
    ):
        found = small.send("/", data)
        assert 400 <= found.status_code < 500, (data, found.text)
    assert not (tmp_path / "owned").exists()


def test_the_token_is_asked_for_everywhere_but_at_health(small: Running) -> None:
    known, small.headers = small.headers, {}
    try:
        assert small.get("/health").status_code == 200
        for path in ("/rewards", "/metrics", "/docs", "/openapi.json"):
            assert small.get(path).status_code == 401
        for path in ("/mark", "/score", "/compute", "/"):
            assert small.post(path, {}).status_code == 401
        small.headers = {"Authorization": "Bearer Secret"}
        assert small.get("/rewards").status_code == 401
    finally:
        small.headers = known


def test_a_client_that_sends_slowly_or_leaves_holds_up_nobody(tmp_path: Path) -> None:
    own = [scripted("r", lambda answers: [{"scores": {"r": 1.0}} for _ in answers])]
    with running(own, tmp_path / "images", Limits(timeout=1)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        head = b"POST /mark HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        slow = socket.create_connection((host, int(port)))
        slow.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        gone = socket.create_connection((host, int(port)))
        gone.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        gone.close()
        body = plain(sample(metadata={}))
        assert server.post("/mark", body).json()["marks"][0]["scores"] == {"r": {"r": 1.0}}
        slow.settimeout(20)
        assert b" 408 " in slow.recv(1000)
        slow.close()


def test_a_stop_waits_for_no_body_that_is_not_here(tmp_path: Path) -> None:
    own = [scripted("r", lambda answers: [{"scores": {"r": 1.0}} for _ in answers])]
    with running(own, tmp_path / "images", Limits(timeout=60)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        hanging = socket.create_connection((host, int(port)))
        head = b"POST /mark HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        hanging.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        assert server.get("/health").status_code == 200
        begun = time.monotonic()
    assert time.monotonic() - begun < 30
    assert b" 503 " in hanging.recv(1000)
    hanging.close()


def test_words_that_help_with_headers(small: Running) -> None:
    known = {"Content-Type": "text/plain"}
    assert "Content-Type: application/json" in small.send("/mark", "{}", **known).text
    packed = small.send("/mark", zlib.compress(b"{}"), **{"Content-Encoding": "deflate"})
    assert packed.status_code == 415 and "without Content-Encoding" in packed.text


def test_formats_other_than_pngs_are_read_and_said(small: Running) -> None:
    for form in ("JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        data = picture(circle(), form=form)
        found = small.post("/compute", {"prompt": [PROMPT], "image": [b64(data)]})
        assert found.json() == {"rewards": [1.0]}, form
    page = io.BytesIO()
    Image.new("CMYK", (32, 32)).save(page, "JPEG")
    found = small.post("/compute", {"prompt": [PROMPT], "image": [b64(page.getvalue())]})
    assert found.status_code == 200
    wrapped = base64.encodebytes(RED).decode()  # lines, as MIME has them
    assert small.post("/mark", plain(sample(wrapped))).status_code == 200


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pickle": True, "host": "0.0.0.0"}, "--pickle"),
        ({"port": 70_000}, "--port"),
        ({"batch_size": 0}, "--batch-size"),
        ({"token": "two words"}, "--token"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Settings(**given)
