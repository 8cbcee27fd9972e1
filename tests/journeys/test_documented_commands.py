"""Every command that README and docs show is run, or has a reason here why it is not.

A command that is new in the docs fails until it stands in one of the two tables.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harmon_eval import cli
from harmon_eval.model.train.__main__ import main as train

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))
MODULE = r"(?:harmon_eval|benchmarks)[\w.]*"
COMMAND = re.compile(rf"(?:python|torchrun|accelerate launch|srun)\b[^#]*?-m {MODULE}.*")
QUICK = "--model scripted --limit 2"
# The command as the docs show it -> what is run for it: in small, with what is made here.
RUN = {
    "python -m harmon_eval --tasks geneval,mjhq": f"--tasks geneval {QUICK}",
    "python -m harmon_eval": f"--tasks geneval {QUICK} --output again",
    "python -m harmon_eval leaderboard results/harmon-mini --baselines harmon,janus "
    "--tasks geneval,mjhq": (
        f"leaderboard {ROOT}/results/harmon-mini --baselines harmon,janus --tasks geneval,mjhq"
    ),
    "python -m harmon_eval --help": "--help",
    "python -m harmon_eval plan --no-worse-than 0.05 --tasks geneval": (
        "plan --no-worse-than 0.05 --tasks geneval"
    ),
    "python -m harmon_eval plan --effect 0.05 --tolerance 0.01 --tasks geneval": (
        "plan --effect 0.05 --tolerance 0.01 --tasks geneval"
    ),
    "python -m harmon_eval --tasks geneval --output baseline/0": (
        f"--tasks geneval --output baseline/0 {QUICK}"
    ),
    "python -m harmon_eval --tasks geneval --seed 1 --output baseline/1": (
        f"--tasks geneval --seed 1 --output baseline/1 {QUICK}"
    ),
    "python -m harmon_eval --tasks geneval --output candidate/0": (
        f"--tasks geneval --output candidate/0 {QUICK}"
    ),
    "python -m harmon_eval --tasks geneval --seed 1 --output candidate/1": (
        f"--tasks geneval --seed 1 --output candidate/1 {QUICK}"
    ),
    "python -m harmon_eval compare baseline/0 candidate/0 --pool baseline/1 candidate/1 "
    '--no-worse-than 0.05 --junit gate.xml --json gate.json --summary "$GITHUB_STEP_SUMMARY"': (
        "compare A A --pool B B --no-worse-than 0.05 --junit gate.xml --json gate.json "
        "--summary summary.md"
    ),
    "python -m harmon_eval compare A B": "compare A B",
    "python -m harmon_eval show RUN": "show A",
    "python -m harmon_eval show RUN --tasks geneval": "show A --tasks geneval",
    "python -m harmon_eval show RUN --all-metrics": "show A --all-metrics",
    "python -m harmon_eval --config docs/run.toml": f"--config {ROOT}/docs/run.toml --print-config",
    "python -m harmon_eval --config docs/run.toml --limit 100": (
        f"--config {ROOT}/docs/run.toml --limit 100 --print-config"
    ),
    "python -m harmon_eval --tasks geneval --print-config": "--tasks geneval --print-config",
    "python -m harmon_eval export RUN --format inspect": "export A --format inspect",
    "python -m harmon_eval push RUN --output FOLDER": "push A --output card",
    "python -m harmon_eval compare RUN OTHER --any-settings": "compare A B --any-settings",
    "python -m harmon_eval mark RUN --geneval-threshold 0.5": "mark A --geneval-threshold 0.5",
    "python -m harmon_eval report RUN": "report A",
    "python -m harmon_eval report RUN --against OTHER --against THIRD": (
        "report A --against B --against A"
    ),
    "python -m harmon_eval report RUN --against OTHER --output report.html": (
        "report A --against B --output report.html"
    ),
    "python -m harmon_eval --model scripted --tasks geneval,mjhq --output runs/large": (
        f"--tasks geneval {QUICK} --output runs/large"
    ),
    "python -m harmon_eval report runs/large": "report B",
    "python -m harmon_eval list --pages docs/tasks.md": "list --pages tasks.md",
    "python -m harmon_eval --tasks checklist:points/checklist.jsonl "
    "--instrument judge=openai:MODEL@URL": f"--tasks checklist {QUICK}",
    "python -m harmon_eval --tasks gedit,imgedit": f"--tasks gedit {QUICK}",
    "python -m harmon_eval --tasks seed:likelihood --limit 20": f"--tasks seed:likelihood {QUICK}",
    "python -m harmon_eval --tasks geneval2 --limit 8": f"--tasks geneval2 {QUICK}",
    "python -m harmon_eval --tasks tiif --shuffle-points 7": (
        f"--tasks tiif --shuffle-points 7 {QUICK}"
    ),
    "python -m harmon_eval --tasks genai_bench --limit 8": f"--tasks genai_bench {QUICK}",
    "python -m harmon_eval.model.train stage1 --dry-run": "train stage1 --dry-run",
}
JOURNEY = "run in tests/journeys/test_training.py, with a network of a few thousand weights"
HUB = "needs weights of the hub, which tests do not fetch"
LONG = "a measurement of minutes to hours; tests/model/test_benchmarks.py runs it in small"
LARGE = "needs several GPUs or machines"
SERVES = "serves until Ctrl-C; run in tests/serving"
FORM = "shows the form of a command, not one"
WHY = {
    "python -m harmon_eval --model NAME:ARGUMENT?key=value&key=value": FORM,
    "python -m harmon_eval --include confetti.py --model confetti?pieces=9 --tasks geneval": (
        "run in tests/adapters/test_settings.py"
    ),
    "python -m harmon_eval --model janus:deepseek-community/Janus-Pro-1B --suite official "
    "--tasks geneval": HUB,
    "python -m harmon_eval --model diffusers:stabilityai/stable-diffusion-xl-base-1.0 "
    "--tasks geneval --suite official": HUB,
    "python -m harmon_eval --model vlm:Qwen/Qwen2.5-VL-7B-Instruct --suite official --tasks pope": (
        HUB
    ),
    "python -m harmon_eval --model openai:NAME@http://localhost:8000/v1 --suite official "
    "--tasks pope": "needs a server; run in tests/journeys/test_endpoint.py",
    'srun python -m harmon_eval --model "$MODEL" --suite official --tasks geneval --device cuda '
    '--output "$OUTPUT" --baseline "$BASELINE" --gate --no-worse-than 0.03': LARGE,
    "python -m harmon_eval track CHECKPOINTS --output tracked --tasks geneval --limit 100 "
    "--every 600": JOURNEY,
    "python -m harmon_eval convert checklist points.csv points/checklist.jsonl": (
        "run in tests/tasks/test_checklist.py"
    ),
    "python -m benchmarks.option_scores": LONG,
    "python -m benchmarks.serve": LONG,
    "python -m benchmarks.coverage_fid": LONG,
    "python -m benchmarks.coverage": LONG,
    "python -m harmon_eval --model folder:RESULTS --tasks gedit --suite official --data DIR": (
        "run in tests/tasks/test_gedit.py on folders of its own"
    ),
    "python -m harmon_eval --tasks geneval,pope --output runs/mini --tracker tensorboard": (
        "run in tests/exchange/test_trackers.py"
    ),
    "python -m harmon_eval.model.train mini --output runs/mini --tracker tensorboard": (
        "run in tests/train/test_watching.py"
    ),
    "python -m harmon_eval push RUN --hub team/model": "run in tests/exchange/test_push.py",
    "python -m harmon_eval import LOG --output RUN": "run in tests/exchange/test_import.py",
    "python -m harmon_eval export RUN gedit FOLDER": "run in tests/tasks/test_gedit.py",
    "python -m harmon_eval.model.train mini-edit --output runs/edit": (
        "an hour; tests/train/test_edits.py trains on edits in small"
    ),
    "python -m harmon_eval.model.train export runs/edit runs/harmon-mini-edit": JOURNEY,
    "python -m harmon_eval.model.train mini-letters --output runs/letters": (
        "an hour; tests/train/test_mini_edit.py has what it drills"
    ),
    "python -m harmon_eval.model.train export runs/letters runs/harmon-mini-letters": JOURNEY,
    "python -m harmon_eval mark RUN --judge-url URL --budget MORE": (
        "needs a judge; run in tests/judges/test_judge.py"
    ),
    "python -m harmon_eval.suites.mini.measure --scenes 1000": LONG,
    "python -m harmon_eval label RUN --task dpg --samples 60": (
        "serves a page until Ctrl-C; run in tests/harness/test_label.py"
    ),
    "python -m harmon_eval serve geneval,geneval:share --store runs/rewards": SERVES,
    "python -m harmon_eval serve geneval:share,geneval,geneval:flow_grpo --suite official "
    "--data DIR": SERVES,
    "python -m harmon_eval serve geneval,geneval:flow_grpo --pickle --port 18085": SERVES,
    "python -m harmon_eval calibrate RUN --task dpg": (
        "needs marks by people; run in tests/harness/test_label.py"
    ),
    "python -m harmon_eval --include brightness.py --tasks brightness": (
        "run in tests/packaging/test_docs.py"
    ),
    "python -m harmon_eval --include brightness.py --tasks brightness --suite official "
    "--data DIR": "run in tests/packaging/test_docs.py",
    "python -m harmon_eval --include brightness.py --include brightest.py --tasks brightness "
    "--instrument meter=brightest": "run in tests/packaging/test_docs.py",
    "python -m harmon_eval prepare geneval,mjhq,pope": (
        "fetches from the network; tests/suites/test_prepare.py runs it on files of its own"
    ),
    "python -m harmon_eval probe": "minutes; run in tests/tasks/test_probe_study.py in small",
    "python -m harmon_eval probe --suite official --data IMAGENET --device cuda --models "
    '"harmon:wusize/Harmon-1_5B?layer=all,vae:wusize/Harmon-1_5B,pixels,'
    "vision:google/siglip-so400m-patch14-384?pool=pooler,"
    'timm:vit_base_patch14_dinov2.lvd142m"': HUB,
    "python -m harmon_eval --model timm:NAME --tasks linear_probe": HUB,
    "python -m harmon_eval --suite real --tasks easy_vqa,ocr,reconstruction --limit 200": LONG,
    "python -m harmon_eval prepare longtext": "fetches from the network, as above",
    "python -m harmon_eval --suite official --tasks longtext --model MODEL": (
        "needs prepared files; tests/tasks/test_longtext.py runs the task on its own"
    ),
    "python -m harmon_eval --suite official --tasks genai_bench:qwen_vl --model MODEL "
    "--instrument judge=vlm:PATH": HUB,
    "python -m harmon_eval --model wusize/Harmon-1_5B --suite official --tasks geneval "
    "--workers 8": HUB,
    'srun ray symmetric-run --address "$head:6379" --min-nodes 4 -- python -m harmon_eval '
    '--model wusize/Harmon-1_5B --suite official --ray auto --output "$SCRATCH/runs/harmon"': LARGE,
    "python -m harmon_eval --suite official --ray auto --output /shared/runs/harmon": LARGE,
    "python -m benchmarks.report_page runs/large/report.html": "needs a browser",
    "python -m benchmarks.compare BEFORE AFTER": LONG,
    "python -m benchmarks.sampling --size 0.5b --batch 1 --head --name sampling-0.5b": LONG,
    "python -m benchmarks.sampling --size mini --image-size 64 --repeats 3 --head": LONG,
    "python -m benchmarks.sampling --size 0.5b --device cuda --image-size 512 "
    "--iterations 64": LONG,
    "python -m benchmarks.sampling --size 0.5b --device cuda --image-size 512 --iterations 64 "
    "--compile": LONG,
    "python -m benchmarks.understanding": LONG,
    "python -m benchmarks.fid --images 48": LONG,
    "python -m benchmarks.fid --images 16 --cores 1": LONG,
    "python -m benchmarks.pareto --model harmon-mini --output runs/pareto": LONG,
    "python -m benchmarks.gate_power": LONG,
    "python -m benchmarks.gate_power --runs runs/gate": LONG,
    "python -m harmon_eval.model.train RECIPE --output DIR [--set key=value ...] [--dry-run]": FORM,
    "accelerate launch -m harmon_eval.model.train RECIPE --output DIR": FORM,
    "python -m harmon_eval.model.train mini-vae --output runs/vae": JOURNEY,
    "python -m harmon_eval.model.train mini --output runs/mini --set "
    "start.vae=runs/vae/checkpoint.pt": JOURNEY,
    "python -m harmon_eval.model.train export runs/mini runs/mini-first": JOURNEY,
    "python -m harmon_eval.model.train mini-refine --output runs/refine": JOURNEY,
    "python -m harmon_eval.model.train export runs/refine runs/harmon-mini": JOURNEY,
    "python -m harmon_eval --model runs/harmon-mini --tasks geneval,pope,held_out": JOURNEY,
    "accelerate launch --multi_gpu --mixed_precision bf16 --num_machines 4 --num_processes 32 "
    "--machine_rank $RANK --main_process_ip $HOST --main_process_port 29500 "
    '-m harmon_eval.model.train"': LARGE,
    "python -m harmon_eval.model.train export runs/stage1 stage1 --dtype float32": JOURNEY,
    "python -m harmon_eval.model.train export runs/stage2 stage2 --dtype float32": JOURNEY,
    "python -m harmon_eval.model.train export runs/stage3 harmon-1.5b --dtype bfloat16": JOURNEY,
}


def shown(text: str) -> Iterator[str]:
    """Commands in blocks of code and between backticks, each as one line without its comment."""
    text = re.sub(r"\\\n", " ", text)
    # YAML's folded lines are one line.
    text = re.sub(r">-?\n( +)(\S.*\n(?:\1\S.*\n)*)", lambda m: " ".join(m[2].split()) + "\n", text)
    for number, part in enumerate(re.split(r"^ *```\w*\n(.*?)^ *```", text, flags=re.M | re.S)):
        lines = part.split("\n")
        if number % 2 == 0:
            indented = [line for line in lines if line.startswith("    ")]
            lines = re.findall(r"`([^`]+)`", part) + indented
        for line in lines:
            if found := COMMAND.search(" ".join(line.split())):
                yield re.split(r"\s+#\s", found[0])[0].rstrip(" .,;")


SHOWN = dict.fromkeys(c for page in PAGES for c in shown((ROOT / page).read_text()))


def test_every_command_of_the_docs_is_run_or_has_a_reason() -> None:
    assert len(SHOWN) > 40, "the docs are read"
    unknown = [command for command in SHOWN if command not in RUN and command not in WHY]
    assert not unknown, "new in the docs: run them here, or say why not"
    gone = [command for command in (*RUN, *WHY) if command not in SHOWN]
    assert not gone, "no longer in the docs"


@pytest.fixture
def ready(call: Call, tmp_path: Path, cache: Path) -> Call:
    """The command line beside two finished runs, A and B, made once."""
    made = cache.parent / "documented"
    for name, seed in (("A", 0), ("B", 1)):
        if not (made / name).exists():
            more = ("--output", made / name, "--seed", seed)
            assert call("--tasks", "geneval", *QUICK.split(), *more).code == 0
        shutil.copytree(made / name, tmp_path / name)
    return call


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_docs_runs(ready: Call, command: str) -> None:
    name, *rest = RUN[command].split()
    if name == "train":
        assert train(rest) == 0
        return
    done = ready(name, *rest)
    gate = name == "compare"  # of two runs this small it may say anything
    assert done.code in ((0, 1, 2) if gate else (0,)), done.err
    assert "error:" not in done.err


@pytest.mark.parametrize("command", WHY)
def test_the_options_of_a_command_that_is_not_run_are_options(command: str) -> None:
    """So that a command in the docs whose option was renamed fails all the same."""
    words = shlex.split(command.rstrip('"') if command.count('"') % 2 else command)
    place = words.index("-m")
    if words[place + 1] != "harmon_eval" or WHY[command] == FORM:
        return
    rest = words[place + 2 :]
    while "--include" in rest:
        at = rest.index("--include")
        del rest[at : at + 2]
    cli.parse(rest)
