"""Two folders, or a folder and a file of statistics: numbers of clean-fid and dgm-eval's formulas
through the command line, and what becomes of pictures of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cleanfid import fid as clean_fid
from PIL import Image

import harmon_eval
from harmon_eval import cli, plugins, registry
from harmon_eval.core import UserError
from harmon_eval.metrics import sets
from harmon_eval.metrics.fid_images import find_images
from harmon_eval.store.run_folder import RunFolder
from harmon_eval.tasks.fidelity import files, references

WIDTH = 24


# A file for --include: a random projection of averages in place of Inception.
NETWORK = """
import numpy as np
import torch

ROLE = "features"


class Projection:
    name = identity = "projection"
    side = 299

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(3 * 13 * 13, 24, generator=generator) / 20

    def of_tensor(self, pixels):
        x = torch.nn.functional.avg_pool2d((pixels - 128) / 128, 23)
        return x.flatten(1) @ self.matrix

    def __call__(self, pixels):
        return self.of_tensor(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()


def open_instrument():
    return Projection()
"""


def write(folder: Path, seed: int, count: int) -> None:
    """Soft random blobs of several sizes, modes and formats, in sub-folders."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        size = [(96, 80), (64, 64), (120, 90), (200, 310)][i % 4]
        small = rng.integers(0, 256, size=(6, 5, 3)).astype(np.uint8)
        image = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
        noisy = (image + rng.normal(0, 6 + 9 * seed, size=image.shape)).clip(0, 255)
        mode, suffix = [("RGB", "png"), ("RGBA", "png"), ("L", "PNG"), ("RGB", "jpg")][i // 3 % 4]
        file = folder / ("art" if i % 2 else "logo") / f"{i:03d}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.astype(np.uint8)).convert(mode).save(file)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``refs`` with 90 pictures, ``drawn`` with 70, and the network to include."""
    root = tmp_path_factory.mktemp("fidelity")
    write(root / "refs", 0, 90)
    write(root / "drawn", 1, 70)
    (root / "projection.py").write_text(NETWORK)
    return root


@pytest.fixture
def compared(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Metrics of the command with this argument, or exit code and what was said."""
    monkeypatch.setenv("HARMON_EVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_included", {})

    def run(argument: str, *more: str, drawn: str = "drawn", code: int = 0) -> dict[str, float]:
        monkeypatch.chdir(place)
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        command = ["--include", "projection.py", "--tasks", f"fidelity:{argument}"]
        model = ["--model", f"folder:{drawn}", "--instrument", "features=projection"]
        assert cli.main([*command, *model, "--output", str(out), *more]) == code
        run.out = out  # type: ignore[attr-defined]
        found = list(out.glob("*/metrics.json"))
        return json.loads(found[0].read_text())["metrics"] if found else {}

    return run


def network(place: Path) -> Any:
    space: dict[str, Any] = {}
    exec((place / "projection.py").read_text(), space)
    return space["Projection"]()


def by_clean_fid(place: Path, mode: str, scale: float) -> float:
    net = network(place)
    return float(
        clean_fid.compare_folders(
            str(place / "refs"),
            str(place / "drawn"),
            lambda x: net.of_tensor(x * scale),
            mode,
            device=torch.device("cpu"),
            verbose=False,
        )
    )


def test_two_folders_get_the_fid_that_clean_fid_gives(
    place: Path, compared: Any, clean_fid_scipy: None
) -> None:
    """In both modes whose resizing is clean-fid's own; rows hold the names of the files."""
    for mode, scale in (("clean", 1.0), ("legacy_pytorch", 256 / 255)):
        metrics = compared(f"refs?mode={mode}")
        expected = by_clean_fid(place, mode, scale)
        assert metrics[f"fid[{mode},projection]"] == pytest.approx(expected, rel=1e-4)
        assert (metrics["images"], metrics["references"], metrics["compared"]) == (70, 90, 70)
    rows = harmon_eval.load(compared.out)[f"fidelity:refs?mode={mode}"].rows
    assert set(rows["name"]) == {
        str(f.relative_to(place / "drawn")) for f in find_images(place / "drawn")
    }


def test_the_measures_of_one_pass_are_those_of_its_features(place: Path, compared: Any) -> None:
    metrics = compared("refs")
    rows = RunFolder(compared.out).task("fidelity:refs").rows()
    assert rows is not None
    drawn = np.stack(rows.sort_values("id")["features"].to_list())
    (file,) = compared.out.parent.glob("cache/fidelity/*/features.npy")
    reference = np.load(file)
    assert reference.shape == (90, WIDTH)
    assert metrics["kid[clean,projection]"] == pytest.approx(
        sets.kernel_distance(reference, drawn), rel=1e-6
    )
    part = reference[np.random.default_rng(0).choice(90, 70, False)]
    for name, value in vars(sets.manifold(part, drawn, 5)).items():
        assert metrics[f"{name}[k=5,clean,projection]"] == value
    assert metrics["vendi[clean,projection]"] == pytest.approx(sets.vendi(drawn), rel=1e-6)
    assert metrics["fid_infinity[clean,projection]"] < metrics["fid[clean,projection]"]


def saved(place: Path, name: str, mode: str = "clean", **more: Any) -> None:
    """Statistics of the references as the tools write them."""
    scale = 256 / 255 if mode == "legacy_pytorch" else 1.0
    net = network(place)
    features = clean_fid.get_folder_features(
        str(place / "refs"),
        lambda x: net.of_tensor(x * scale),
        num_workers=0,
        device=torch.device("cpu"),
        mode=mode,
        verbose=False,
    )
    content = {"mu": features.mean(0), "sigma": np.cov(features, rowvar=False), **more}
    if name.endswith(".pt"):
        torch.save(content, place / name)
    else:
        np.savez(place / name, **content)


def test_files_of_statistics_give_the_fid_of_their_folder(place: Path, compared: Any) -> None:
    """clean-fid's by its name, pytorch-fid's by what it lacks; a run's own statistics go in too."""
    folder = {
        m: compared(f"refs?mode={m}")[f"fid[{m},projection]"] for m in ("clean", "legacy_pytorch")
    }
    saved(place, "refs_clean_custom_na.npz")
    saved(place, "pytorch.npz", "legacy_pytorch")
    for name, mode in (("refs_clean_custom_na.npz", "clean"), ("pytorch.npz", "legacy_pytorch")):
        metrics = compared(name)
        assert metrics[f"fid[{mode},projection]"] == pytest.approx(folder[mode], rel=1e-5)
        assert "references" not in metrics and f"kid[{mode},projection]" not in metrics
    own = compared("refs", drawn="refs")
    assert own["fid[clean,projection]"] == pytest.approx(0, abs=1e-6)
    (written,) = compared.out.glob("*/statistics.npz")
    again = compared(str(written))
    assert again["fid[clean,projection]"] == pytest.approx(folder["clean"], rel=1e-5)
    assert again["references"] == 90
    assert compared(f"{written}?mode=clean") == again


def test_a_file_says_how_its_pictures_were_resized(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ADM's reference batches and torch-fidelity's cache resize as TensorFlow 1 does."""
    few = {"mu": np.zeros(3), "sigma": np.eye(3)}
    np.savez(place / "adm.npz", **few, mu_s=np.zeros(2), sigma_s=np.eye(2))
    torch.save(few, place / "x-inception-v3-compat-features-stat-fid-2048.pt")
    np.savez(place / "x_legacy_tensorflow_custom_na.npz", **few)
    for name in (
        "adm.npz",
        "x-inception-v3-compat-features-stat-fid-2048.pt",
        "x_legacy_tensorflow_custom_na.npz",
    ):
        assert files.read_statistics(place / name).mode == "legacy_tensorflow"
    assert not caplog.text
    np.savez(place / "plain.npz", **few)
    assert files.read_statistics(place / "plain.npz").mode == "legacy_pytorch"
    assert "does not say how its pictures were resized" in caplog.text


def test_rounding_in_a_covariance_is_no_flaw(tmp_path: Path) -> None:
    """Of fewer pictures than features, in float32: some eigenvalues are a little below 0."""
    features = np.random.default_rng(0).normal(size=(20, 64))
    sigma = np.cov(features, rowvar=False).astype(np.float32)
    assert np.linalg.eigvalsh(sigma).min() < 0
    np.savez(tmp_path / "a_clean_b.npz", mu=features.mean(0), sigma=sigma)
    assert files.read_statistics(tmp_path / "a_clean_b.npz").mode == "clean"


def test_kid_is_the_headline_of_fewer_pictures_than_features(
    place: Path,
    compared: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(place / "drawn" / "logo", place / "few", dirs_exist_ok=True)
    for file in sorted((place / "few").iterdir())[12:]:
        file.unlink()
    found = compared("refs", drawn="few")
    stored = json.loads(next(compared.out.glob("*/metrics.json")).read_text())
    assert stored["headline"] == "kid[clean,projection]"
    assert stored["headline"] in found and "fid[clean,projection]" not in found
    said = " ".join(capsys.readouterr().err.split())
    assert "fid cannot be computed from 12 samples: the headline is kid[clean,projection]" in said
    assert caplog.text.count("12 images are fewer than the 24 features") == 1
    assert "of 12 drawn images and " in caplog.text
    assert "(images 12, references " in said
    for file in sorted((place / "few").iterdir())[2:]:
        file.unlink()
    caplog.clear()
    compared("refs", drawn="few")
    assert caplog.text.count("KID needs at least 3 images a side, not 2 and ") == 1


def test_too_few_references_are_called_by_that_name(
    place: Path,
    compared: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On either side one image is one image."""
    (place / "one").mkdir()
    shutil.copy(sorted((place / "drawn").rglob("*.png"))[0], place / "one" / "a.png")
    compared("one")
    assert "and 1 reference: 1 reference image is fewer than the 24 features" in caplog.text
    assert ", references 1)" in capsys.readouterr().err
    caplog.clear()
    compared("refs", drawn="one")
    assert "of 1 drawn image and " in caplog.text
    assert ": 1 image is fewer than the 24 features" in caplog.text


def test_statistics_of_another_resizing_are_refused_before_anything_is_drawn(
    place: Path, compared: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"mu": np.zeros(24), "sigma": np.eye(24)}
    np.savez(place / "own.npz", **few, setting="clean,projection")
    np.savez(place / "x_legacy_tensorflow_custom_na.npz", **few)
    np.savez(place / "adm.npz", **few, mu_s=np.zeros(2))
    (place / "text.npz").write_text("nothing")
    for name, said in (
        ("own.npz?mode=legacy_pytorch", "resized as clean"),
        ("x_legacy_tensorflow_custom_na.npz?mode=clean", "resized as legacy_tensorflow"),
        ("adm.npz?mode=clean", "resized as legacy_tensorflow"),
        ("text.npz", "text.npz is no file of statistics (not a .npz archive)"),
    ):
        compared(name, code=2)
        error = " ".join(capsys.readouterr().err.split())
        assert said in error and "drawing" not in error
    np.savez(place / "unsaid.npz", **few)
    assert "fid[clean,projection]" in compared("unsaid.npz?mode=clean")


def test_what_does_not_fit_is_said(
    place: Path, compared: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(argument: str, code: int, *more: str) -> str:
        compared(argument, *more, code=code)
        return " ".join(capsys.readouterr().err.split())

    assert "nowhere: no such file or folder; give a folder of pictures" in said("nowhere", 2)
    assert "mode=cleanly" in said("refs?mode=cleanly", 2)
    np.savez(place / "wide_clean_x.npz", mu=np.zeros(30), sigma=np.eye(30))
    assert "has 30 features, but projection gives 24" in said("wide_clean_x.npz", 1)
    with pytest.raises(UserError, match="holds no pictures"):
        files.found(place / "refs" / "nothing")


def test_broken_and_strange_pictures_are_named_counted_or_refused(
    place: Path,
    compared: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    strange = tmp_path / "strange"
    write(strange, 2, 30)
    Image.new("RGB", (9, 9)).save(strange / "a b, c#1.png")
    Image.new("RGB", (9, 9)).save(strange / "a b, c#1.jpg")
    (strange / "broken.png").write_bytes(b"no picture")
    (strange / "array.npy").write_bytes(b"")
    metrics = compared("refs", drawn=str(strange), code=1)
    said = " ".join(capsys.readouterr().err.split())
    assert metrics["images"] == 32 and "broken.png cannot be read" in said
    assert "left out as no pictures that are read: 1 .npy" in caplog.text
    stored = json.loads(next(compared.out.glob("*/metrics.json")).read_text())
    assert (stored["n"], stored["total"]) == (32, 33)
    compared(str(strange), code=1)
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 33 reference pictures are damaged: broken.png" in said


def test_a_run_is_marked_again_without_the_model(
    place: Path, compared: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reference from the cache; where that is lost, it says how to make it again."""
    before = compared("refs", "--limit", "40")
    assert before["images"] == 40
    command = ["mark", str(compared.out)]
    assert cli.main(command) == 0
    (file,) = compared.out.glob("*/metrics.json")
    found = json.loads(file.read_text())
    assert found["metrics"] == before and found["total"] == 70
    shutil.rmtree(compared.out.parent / "cache")
    for known in (references.load, references._prepared):
        known.cache_clear()
    assert cli.main(command) == 1
    assert "delete the task's rows.parquet" in " ".join(capsys.readouterr().err.split())
    file.with_name("rows.parquet").unlink()
    assert cli.main(command) == 0
    assert json.loads(file.read_text())["metrics"] == before


def test_runs_on_other_folders_compare_against_the_same_references(
    place: Path, compared: Any, tmp_path: Path
) -> None:
    """Whatever their files are called; against other references they do not compare."""
    compared("refs")
    first = compared.out
    write(tmp_path / "other", 0, 70)
    if not (place / "other_refs").exists():
        write(place / "other_refs", 3, 40)
    for file in list((tmp_path / "other").rglob("*.*")):
        file.rename(file.with_name(f"x{file.name}"))
    compared("refs", drawn=str(tmp_path / "other"))
    lines = harmon_eval.compare(first, compared.out).lines
    (line,) = (line for line in lines if line.metric.startswith("fid["))
    assert line.difference is not None and line.interval is not None
    compared("other_refs", drawn=str(tmp_path / "other"))
    (line,) = harmon_eval.compare(first, compared.out, tasks="fidelity:refs").lines
    assert line.verdict == "not comparable"


def test_statistics_of_a_folder_are_written_and_read(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    find = registry.instrument
    monkeypatch.setattr(
        registry,
        "instrument",
        lambda role, name, *more: (
            network(place) if name == "inception" else find(role, name, *more)
        ),
    )
    target = tmp_path / "refs.npz"
    assert cli.main(["convert", "fidelity", f"{place / 'refs'}?mode=clean", str(target)]) == 0
    told = files.read_statistics(target)
    assert (told.count, told.mode, told.network) == (90, "clean", "projection")
    folder = str(place / "refs")
    assert cli.main(["convert", "fidelity", folder, str(tmp_path / "x.csv")]) == 2
    other = ["--instrument", "features=mini"]
    assert cli.main(["convert", "fidelity", folder, str(target), *other]) == 0
    assert files.read_statistics(target).network == "mini"
    assert cli.main(["convert", "fidelity", folder, str(target), "--instrument", "judge=x"]) == 2
    assert "fidelity uses no judge" in capsys.readouterr().err
