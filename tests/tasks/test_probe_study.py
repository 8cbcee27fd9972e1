"""The command ``probe``: encoders side by side in one table and one plot."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from harmon_eval import cli
from harmon_eval.instruments.probing import lars as probe_lars
from harmon_eval.instruments.probing import lbfgs as probe_lbfgs


def test_layers_and_other_encoders_stand_in_one_table_and_one_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    # The fits are not what this is about.
    monkeypatch.setattr(probe_lbfgs, "STRENGTHS", (1e-3,))
    monkeypatch.setattr(probe_lars, "SWEEP", (10.0,))
    output = tmp_path / "study"
    command = [
        "probe",
        "--models",
        "harmon:harmon-mini?layer=all,vae:harmon-mini,pixels:4",
        "--limit",
        "40",
        "--device",
        "cpu",
        "--output",
        str(output),
    ]
    assert cli.main(command) == 0
    table = pd.read_csv(output / "probe.csv", keep_default_na=False)
    swept = table[(table["model"] == "harmon-mini") & (table["probe"] == "lbfgs")]
    expected = {(k, p) for k in ("final", "0", "1", "2") for p in ("image", "buffers", "both")}
    assert set(zip(swept["layer"], swept["pool"], strict=True)) == expected
    assert swept.set_index(["layer", "pool"]).loc[("1", "both"), "dimension"] == 320
    others = table[table["model"] != "harmon-mini"].drop_duplicates("model")
    assert list(zip(others["model"], others["dimension"], strict=True)) == [
        ("vae:harmon-mini", 256),
        ("pixels", 48),
    ]
    values = table[["low", "value", "high"]].astype(float)
    assert (values["low"] <= values["value"]).all() and (values["value"] <= values["high"]).all()
    lines = (output / "probe.md").read_text().splitlines()
    assert len(lines) == 2 + 12 + 2 and "lars-cached" in lines[0]
    assert Image.open(output / "probe.png").size[0] > 600
    # A second call asks nothing again.
    capsys.readouterr()
    assert cli.main(command) == 0
    assert capsys.readouterr().err.count("reused 40 of 40 stored responses") == 3


def test_no_model_and_no_result_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["probe", "--models", ",", "--output", str(tmp_path)]) == 2
    assert "names no model" in capsys.readouterr().err
