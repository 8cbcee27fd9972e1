"""The end of each command's help: an example to copy, and the page that says more."""

EXAMPLES = {
    "list": "  python -m harmon_eval list\n  python -m harmon_eval list --pages tasks.md",
    "prepare": "  python -m harmon_eval prepare geneval,pope\n\nMore: docs/official.md",
    "convert": (
        "  python -m harmon_eval convert checklist points.csv checklist.jsonl\n"
        "\nMore: docs/checklists.md, docs/measures.md"
    ),
    "mark": (
        "  python -m harmon_eval mark runs/harmon-mini-mini\n"
        "  python -m harmon_eval mark RUN --tasks geneval:threshold=0.4\n"
        "\nMore: docs/judges.md"
    ),
    "show": (
        "  python -m harmon_eval show runs/harmon-mini-mini\n"
        "  python -m harmon_eval show runs/harmon-mini-mini --tasks geneval\n"
        "\nMore: docs/running.md"
    ),
    "export": (
        "  python -m harmon_eval export RUN --format lm-eval\n"
        "  python -m harmon_eval export RUN gedit FOLDER\n"
        "\nMore: docs/export.md"
    ),
    "push": (
        "  python -m harmon_eval push RUN\n"
        "  python -m harmon_eval push RUN --hub OWNER/NAME --pull-request\n"
        "\nMore: docs/export.md"
    ),
    "import": "  python -m harmon_eval import results.json --output RUN\n\nMore: docs/export.md",
    "leaderboard": (
        "  python -m harmon_eval leaderboard RUN --baselines harmon,janus --tasks geneval\n"
        "\nMore: docs/index.md"
    ),
    "compare": (
        "  python -m harmon_eval compare runs/a runs/b --tasks geneval\n"
        "  python -m harmon_eval compare runs/a runs/b --no-worse-than 0.02 --junit gate.xml\n"
        "\nMore: docs/statistics.md, docs/ci.md"
    ),
    "probe": (
        "  python -m harmon_eval probe --models harmon-mini,pixels --output probes\n"
        "\nMore: docs/probing.md"
    ),
    "label": "  python -m harmon_eval label RUN --samples 60\n\nMore: docs/human-marks.md",
    "calibrate": "  python -m harmon_eval calibrate RUN\n\nMore: docs/human-marks.md",
    "plan": (
        "  python -m harmon_eval plan --tasks geneval --effect 0.03\n"
        "  python -m harmon_eval plan --tasks geneval --effect 0.03 --pilot runs/a runs/b\n"
        "\nMore: docs/statistics.md"
    ),
    "track": (
        "  python -m harmon_eval track runs/mini --output tracked --tasks geneval --limit 20\n"
        "\nMore: docs/ci.md"
    ),
    "report": (
        "  python -m harmon_eval report RUN\n"
        "  python -m harmon_eval report RUN --against OTHER --output both.html\n"
        "\nMore: docs/report.md"
    ),
    "completion": (
        "  python -m harmon_eval completion bash > harmon-eval.bash\n\nMore: docs/running.md"
    ),
}
