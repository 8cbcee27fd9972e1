"""``dtype=auto``: bfloat16 where the device is faster in it, and it says what it took."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from harmon_eval import registry
from harmon_eval.adapters import _torch
from harmon_eval.core import Draw, Sample
from harmon_eval.running.work import AskingByName

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "chosen", "says"),
    [
        ("avx2 avx512f amx_bf16 amx_tile", torch.bfloat16, "bfloat16 here: cpu has fast"),
        ("avx2 avx512f avx512_bf16", torch.float32, "float32 here: cpu is not known"),
    ],
)
def test_a_processor_with_amx_takes_bfloat16_and_any_other_float32(
    flags: str,
    chosen: torch.dtype,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"flags\t\t: fpu {flags}\n")
    monkeypatch.setattr(_torch, "CPUINFO", info)
    assert _torch.chosen_dtype("auto", CPU) == chosen
    assert says in caplog.text


def test_the_provenance_has_the_format_that_auto_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_torch, "CPUINFO", tmp_path / "none")
    model = registry.model("harmon-mini?dtype=auto", {"device": "cpu"})
    assert caplog.messages == [
        "dtype auto is float32 here: cpu is not known to have fast bfloat16 (AMX)"
    ]
    assert model.settings["dtype"] == "float32"


def test_a_worker_elsewhere_hands_on_what_its_modules_warn_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_torch, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(logging.getLogger("harmon_eval"), "handlers", [])
    given = (("dtype", "auto"), ("device", "cpu"), ("steps", 1), ("diffusion_steps", 2))
    asker = AskingByName("harmon-mini", given).open()
    batch = [Sample(id="a", request=Draw("a red circle", seed=1), target=None, group="a")]
    said = "dtype auto is float32 here: cpu is not known to have fast bfloat16 (AMX)"
    assert [list(asker(batch).remarks) for _ in range(2)] == [[said], []]
