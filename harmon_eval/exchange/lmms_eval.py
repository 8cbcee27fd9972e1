"""Results and samples as lmms-eval writes them: ``MODEL/DATE_results.json`` and
``MODEL/DATE_samples_TASK.jsonl``.

Followed is ``lmms_eval/loggers/evaluation_tracker.py`` of version 0.7.3. The mark of a sample is
its ``score``, which ``lmms_eval --baseline`` reads; the errors are those of resampled groups, so
they are its clustered ones too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harmon_eval.exchange.finished import FinishedRun, FinishedSample, FinishedTask
from harmon_eval.exchange.lm_eval import (
    FILTER,
    json_lines,
    json_text,
    metric_key,
    plain_name,
    reply_text,
    results_of,
    sha256,
)
from harmon_eval.store.durable import write_whole


def write(run: FinishedRun, folder: Path) -> list[Path]:
    """The files that were written, below ``folder``."""
    date = run.time("finished").strftime("%Y%m%d_%H%M%S")
    place = folder / plain_name(run.model)
    results = place / f"{date}_results.json"
    hashes, files = {}, [results]
    for task in run.tasks:
        lines = [_sample(task, sample, place) for sample in task.samples()]
        together = (f"sample_{k}{line['doc_hash']}" for k, line in enumerate(lines))
        hashes[task.name] = sha256("".join(together))
        files.append(place / f"{date}_samples_{plain_name(task.name)}.jsonl")
        write_whole(files[-1], json_lines(lines))
    aggregated = results_of(run)
    for task in run.tasks:
        own = aggregated["results"][task.name]
        for name in task.metrics:
            error = own[f"{metric_key(name)}_stderr,{FILTER}"]
            own[f"{metric_key(name)}_stderr_clustered,{FILTER}"] = error
        del own["name"], own["sample_len"]  # their table takes every other key for a metric
    write_whole(results, json_text({**aggregated, "task_hashes": hashes}))
    return files


def _sample(task: FinishedTask, sample: FinishedSample, place: Path) -> dict[str, Any]:
    reply = reply_text(sample, place)
    parsed = str(sample.row.get("parsed") or reply)
    line: dict[str, Any] = {
        "doc_id": sample.index,
        "target": sample.target,
        "filtered_resps": [parsed],
        "token_counts": [None],
        "doc_hash": sha256(json.dumps([sample.id, sample.text, sample.target])),
        "input": sample.text,
        "input_media": [image.name for image in sample.images],
        "sample_id": sample.id,
        "unscored": sample.unscored,
    }
    if parsed != reply:
        line["resps"] = [reply]
    if sample.mark is None:  # their reader would take an answer unlike its target for wrong
        line |= {"target": "", "expected": sample.target}
    else:
        line |= {"score": sample.mark, "score_is": metric_key(task.mark_name)}
    return line
