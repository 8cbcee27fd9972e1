"""``prepare`` fetches by checksum from a real server, goes on where it stopped, and says what is
missing where there is no network."""

from __future__ import annotations

import hashlib
import re
import stat
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli, registry
from harmon_eval.core import Remote, Source, UserError
from harmon_eval.instruments.weights import Weights
from harmon_eval.running.progress import Progress
from harmon_eval.suites import download, load
from harmon_eval.suites.download import fetch, unpack

CONTENT = bytes(range(256)) * 20_000
TASKS = registry.bundled_task_names()
OFFICIAL = {n: s for n in TASKS if (s := registry.task(n).sources.get("official"))}
PICTURES = next(remote.unpack for remote in OFFICIAL["mjhq"].downloads if remote.unpack)


def place_of(name: str, source: Source) -> str:
    """The folder of a task's data; several tasks may share one."""
    return source.folder or name


def weights_of(name: str) -> list[Weights]:
    """Weights of the instruments that a task takes by default in the official suite."""
    roles = registry.task(name).instruments.items()
    named = [(role, spec) for role, spec in roles if isinstance(spec, str) and spec]
    modules = [registry.instrument_module(role, spec) for role, spec in named]
    found = [module.WEIGHTS for module in modules if hasattr(module, "WEIGHTS")]
    # What is no URL is its users' to bring.
    return [weights for weights in found if weights.source.startswith("https://")]


def needed(name: str) -> dict[str, Remote | Weights]:
    """What ``prepare`` fetches for a task, by its place below the data folder."""
    source = OFFICIAL[name]
    files = {f"{place_of(name, source)}/{remote.place}": remote for remote in source.downloads}
    return {**files, **{f"weights/{weights.names[0]}": weights for weights in weights_of(name)}}


class Server(ThreadingHTTPServer):
    """Serves CONTENT with byte ranges; ``stop_after`` bytes it hangs up once."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stop_after: int | None = None
        self.ranges: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(re.findall(r"\d+", asked)[0]) if asked else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop, self.server.stop_after = self.server.stop_after, None
        self.wfile.write(CONTENT[start : start + stop] if stop else CONTENT[start:])


@pytest.fixture
def server() -> Iterator[Any]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def remote(server: Server) -> Remote:
    url = f"http://127.0.0.1:{server.server_port}/detector.pth"
    return Remote(url, "weights/detector.pth", hashlib.sha256(CONTENT).hexdigest()[:8])


def test_a_fetched_file_is_checked_and_not_fetched_twice(
    server: Any, remote: Remote, tmp_path: Path
) -> None:
    target = tmp_path / remote.place
    fetch(remote, target, Progress())
    fetch(remote, target, Progress())
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_broken_off_download_goes_on_where_it_stopped(
    server: Any, remote: Remote, tmp_path: Path
) -> None:
    server.stop_after = 1_500_000
    target = tmp_path / remote.place
    with pytest.raises(UserError, match=r"cut short.*same command again.*put it at"):
        fetch(remote, target, Progress())
    assert not target.exists()
    have = target.with_name("detector.pth.part").stat().st_size
    assert 0 < have <= 1_500_000
    fetch(remote, target, Progress())
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={have}-"]


def test_a_part_that_was_whole_is_only_checked(server: Any, remote: Remote, tmp_path: Path) -> None:
    target = tmp_path / remote.place
    target.parent.mkdir()
    target.with_name("detector.pth.part").write_bytes(CONTENT)
    fetch(remote, target, Progress())
    assert target.read_bytes() == CONTENT


def test_a_wrong_checksum_is_said_and_nothing_is_kept(
    server: Any, remote: Remote, tmp_path: Path
) -> None:
    target = tmp_path / "detector.pth"
    with pytest.raises(UserError, match="not the published file"):
        fetch(Remote(remote.url, "detector.pth", "743b7d99"), target, Progress())
    assert list(tmp_path.iterdir()) == []


def test_a_file_damaged_later_is_fetched_again(server: Any, remote: Remote, tmp_path: Path) -> None:
    unstated = Remote(remote.url, remote.place)  # its publisher states no digest
    target = tmp_path / remote.place
    fetch(unstated, target, Progress())
    target.write_bytes(CONTENT[:-1] + b"?")
    fetch(unstated, target, Progress())
    assert target.read_bytes() == CONTENT


def test_an_md5_is_a_checksum_too(server: Any, remote: Remote, tmp_path: Path) -> None:
    target = tmp_path / "POPE.tsv"
    good = replace(remote, sha256="", md5=hashlib.md5(CONTENT).hexdigest())
    fetch(good, target, Progress())
    fetch(good, target, Progress())
    assert server.ranges == [None]
    target.unlink()
    with pytest.raises(UserError, match=r"its MD5 is .* expected c12f5acb142f2ef1"):
        fetch(replace(good, md5="c12f5acb142f2ef1f85a26ba2fbe41d5"), target, Progress())
    assert not target.exists()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Every address is asked of a proxy that is not there."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    closed = Server()
    nowhere = f"http://127.0.0.1:{closed.server_port}"
    closed.server_close()
    proxies = urllib.request.ProxyHandler({"http": nowhere, "https": nowhere})
    urllib.request.install_opener(urllib.request.build_opener(proxies))
    yield
    urllib.request.install_opener(urllib.request.build_opener())


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_without_a_network_every_file_and_its_place_are_said(
    tmp_path: Path, no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["prepare", "geneval,mjhq", "--data", str(tmp_path / "data")]) == 2
    words = said(capsys)
    for place in (
        "weights/ViT-L-14.pt",
        "weights/inception-2015-12-05.pt",
        "mjhq/meta_data.json",
        "mjhq/mjhq30k_imgs.zip",
    ):
        assert f"put it at {tmp_path}/data/{place}" in words
    assert cli.main(["prepare", "geneval"]) == 2
    assert f"put it at {tmp_path}/cache/weights/ViT-L-14.pt" in said(capsys)


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_task_is_fetched_or_says_which_file_goes_where(
    name: str, tmp_path: Path, no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is fetched is what the task's reader looks for first, or makes it."""
    source, task = OFFICIAL[name], registry.task(name)
    place = place_of(name, source)
    assert cli.main(["prepare", name, "--data", str(tmp_path / "data")]) == 2
    words = said(capsys)
    for file in needed(name):
        assert f"put it at {tmp_path}/data/{file}" in words
    if source.make is None:
        assert f"needs {source.files[0]}" in words
        assert f"into {tmp_path}/data/{place}" in words
    plain = [remote for remote in source.downloads if not remote.unpack]
    for remote in plain:
        target = tmp_path / "data" / place / remote.place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    if plain:
        found = load("official", tmp_path / "data").data(name, task).folder
        assert found == tmp_path / "data" / place


def test_another_set_of_a_task_has_downloads_of_its_own(
    tmp_path: Path, no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["prepare", "mmbench:test_cn", "--data", str(tmp_path / "data")]) == 2
    words = said(capsys)
    assert f"put it at {tmp_path}/data/mmbench/MMBench_TEST_CN.tsv" in words
    assert "MMBench_DEV_EN.tsv" not in words


def test_every_download_has_a_checksum_or_none_was_ever_published() -> None:
    files = {place: file for name in OFFICIAL for place, file in needed(name).items()}
    stated = {place for place, file in files.items() if file.sha256 or getattr(file, "md5", "")}
    assert files.keys() - stated == {
        "mjhq/meta_data.json",
        "mjhq/mjhq30k_imgs.zip",
        "coco_fid/annotations_trainval2014.zip",
        "dpg/ELLA.zip",
        "dsg/dsg-1k-anns.csv",
        "imgedit/Benchmark.tar",
        "ocr/test.txt",
        "genai_bench/genai_image.json",
        "genai_bench/genai_skills.json",
        "longtext/text_prompts.jsonl",
        "unigenbench/test_prompts_en.csv",
    }


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("mjhq", {"mjhq30k_imgs/food/ab12.jpg": "mjhq30k_imgs/food/ab12.jpg"}),
        (
            "coco_fid",
            {
                "annotations/captions_val2014.json": "captions_val2014.json",
                "annotations/captions_train2014.json": None,
            },
        ),
        (
            "coco_fid",
            {"val2014/COCO_val2014_000000000042.jpg": "val2014/COCO_val2014_000000000042.jpg"},
        ),
        (
            "dpg",
            {
                "ELLA-3c228f1/dpg_bench/dpg_bench.csv": "dpg_bench.csv",
                "ELLA-3c228f1/dpg_bench/prompts/whoops_7.txt": "prompts/whoops_7.txt",
                "ELLA-3c228f1/README.md": None,
            },
        ),
    ],
)
def test_what_a_task_reads_leaves_the_archive_and_never_its_folder(
    name: str, members: dict[str, str | None], tmp_path: Path
) -> None:
    archive = tmp_path / "in" / "files.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for member in members:
            packed.writestr(member, b"content")
        for foreign in (
            "../escaped.jpg",
            "mjhq30k_imgs/../../escaped.jpg",
            "val2014/run.sh",
            "x/dpg_bench/prompts/../../../escaped.txt",
        ):
            packed.writestr(foreign, b"x")
    wanted = {place for place in members.values() if place}
    patterns = [remote.unpack for remote in OFFICIAL[name].downloads if remote.unpack]
    assert sum(unpack(archive, pattern, Progress()) for pattern in patterns) == len(wanted)
    assert sum(unpack(archive, pattern, Progress()) for pattern in patterns) == 0
    found = {str(p.relative_to(archive.parent)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == wanted | {"files.zip"}
    archive.write_bytes(archive.read_bytes()[:50])
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, PICTURES, Progress())


def packed_as(archive: Path, mode: int, content: bytes, name: str = "ab12.jpg") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        member = zipfile.ZipInfo(f"mjhq30k_imgs/food/{name}")
        member.external_attr = mode << 16
        packed.writestr(member, content, zipfile.ZIP_DEFLATED)
    return archive


@pytest.mark.parametrize(
    "name", ["../../x.jpg", "/x.jpg", "C:\\x.jpg", "a/b.jpg", "x.jpg/", "x.jpg\n"]
)
def test_a_member_that_is_no_plain_file_of_a_category_stays_packed(
    tmp_path: Path, name: str
) -> None:
    archive = packed_as(tmp_path / "a.zip", stat.S_IFREG | 0o644, b"x", name)
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, b"x")
    assert unpack(archive, PICTURES, Progress()) == 0
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices_in_an_archive_stay_packed(tmp_path: Path, kind: int) -> None:
    archive = packed_as(tmp_path / "a.zip", kind | 0o777, b"/etc/passwd")
    assert unpack(archive, PICTURES, Progress()) == 0
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_that_unpacks_to_more_than_a_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand zeros a byte, in one member or over all members together."""
    archive = packed_as(tmp_path / "a.zip", stat.S_IFREG | 0o644, bytes(2**20))
    monkeypatch.setattr(download, "MAX_MEMBER", 2**19)
    assert unpack(archive, PICTURES, Progress()) == 0
    monkeypatch.setattr(download, "MAX_MEMBER", 2**26)
    monkeypatch.setattr(download, "MAX_UNPACKED", 2**19)
    with pytest.raises(UserError, match="delete it and prepare again"):
        unpack(archive, PICTURES, Progress())
    assert list(tmp_path.iterdir()) == [archive]


def test_a_member_that_holds_more_than_it_says_is_damage(tmp_path: Path) -> None:
    archive = packed_as(tmp_path / "a.zip", stat.S_IFREG | 0o644, bytes(2**20))
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = (1000).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, PICTURES, Progress())
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 97)])
def test_an_encrypted_or_strangely_packed_member_is_one_line(
    tmp_path: Path, offset: int, value: int
) -> None:
    archive = packed_as(tmp_path / "a.zip", stat.S_IFREG | 0o644, b"picture")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + offset] = value
    content[content.index(b"PK\3\4") + offset - 2] = value
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, PICTURES, Progress())
