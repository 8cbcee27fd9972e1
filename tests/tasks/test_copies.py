"""Copies of the benchmarks that people have: the hub's Parquet files and VLMEvalKit's TSV files.

Each is written here from the mini suite's data in the official form, so that both must ask the same
questions, mark alike and add up to the same metrics.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from harmon_eval import registry
from harmon_eval.core import UserError
from harmon_eval.suites import load
from harmon_eval.tasks.mmbench import files as mmbench_files
from harmon_eval.tasks.mme import files as mme_folder
from harmon_eval.tasks.mmmu.files import SUBJECTS
from harmon_eval.tasks.pope import files as pope_files
from harmon_eval.tasks.seed import files as seed_files


def base64_of(file: Path) -> Any:
    return base64.b64encode(file.read_bytes()).decode()


def packed(file: Path) -> dict[str, Any]:
    return {"bytes": file.read_bytes(), "path": file.name}


def tsv(file: Path, rows: Any) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def shards(folder: Path, name: Any, rows: Any) -> None:
    """Two Parquet files, as the hub splits large tables."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        table = pa.Table.from_pylist(part)
        parquet.write_table(table, folder / f"{name}-0000{number}-of-00002.parquet")


def pope_tsv(mini: Any, folder: Path) -> None:
    found = [q for q in pope_files.read_questions(mini) if q[0].source == "coco"]
    tsv(
        folder / "POPE.tsv",
        [
            {
                "index": i,
                "image": base64_of(file),
                "question": f"{q.text} Please answer yes or no.",
                "answer": q.label.capitalize(),
                "category": ",".join(s for s, ids in q.rows.items() for _ in ids),
            }
            for i, (q, file) in enumerate(found)
        ],
    )


def pope_rows(mini: Any) -> Iterator[Any]:
    for q, file in pope_files.read_questions(mini):
        for split, ids in q.rows.items() if q.source == "coco" else ():
            for number in ids:
                row = {"question_id": str(number), "question": q.text, "answer": q.label}
                yield {**row, "image_source": q.image, "image": packed(file), "category": split}


def pope_hub(mini: Any, folder: Path) -> None:
    shards(folder / "data", "test", list(pope_rows(mini)))


def pope_full(mini: Any, folder: Path) -> None:
    for split in pope_files.SPLITS:
        rows = [row for row in pope_rows(mini) if row.pop("category") == split]
        shards(folder / "Full", split, rows)


def mme_tsv(mini: Any, folder: Path) -> None:
    tsv(
        folder / "MME.tsv",
        [
            {
                "index": i,
                "question": q.text,
                "answer": q.truth,
                "category": q.subtask,
                "image_path": f"{q.subtask}/{q.image}",
                "image": base64_of(q.file),
            }
            for i, q in enumerate(mme_folder.read_questions(mini))
        ],
    )


def mme_hub(mini: Any, folder: Path) -> None:
    shards(
        folder / "data",
        "test",
        [
            {
                "question_id": f"{q.subtask}/{q.image}",
                "image": packed(q.file),
                "question": q.text,
                "answer": q.truth,
                "category": q.subtask,
            }
            for q in mme_folder.read_questions(mini)
        ],
    )


def mmbench_hub(mini: Any, folder: Path) -> None:
    rows = []
    for row, image in mmbench_files.read_set(mini, "dev_en"):
        level = row.pop("l2-category")
        missing = {name: "nan" for name in ("hint", "D") if not row[name]}
        index = {"index": int(row["index"]), "L2-category": level, "image": packed(image)}
        rows.append({**row, **missing, **index})
    shards(folder / "en", "dev", rows)


def seed_tsv(mini: Any, folder: Path) -> None:
    tsv(
        folder / "SEEDBench_IMG.tsv",
        [
            {
                "index": q.number,
                "question": q.text,
                **q.options,
                "answer": q.answer,
                "category": q.dimension,
                "image": base64_of(q.file),
            }
            for q in seed_files.read_questions(mini)
        ],
    )


def seed_hub(mini: Any, folder: Path) -> None:
    entries = json.loads((mini / "SEED-Bench.json").read_text())["questions"]
    rows = [{**e, "image": [packed(mini / "SEED-Bench-image" / e["data_id"])]} for e in entries]
    video = {"question_id": "v1", "data_type": "video", "question_type_id": 10, "image": []}
    shards(folder / "data", "test", [*rows, {**rows[0], **video}])


def gqa_entries(mini: Any) -> Any:
    return json.loads((mini / "testdev_balanced_questions.json").read_text())


def gqa_tsv(mini: Any, folder: Path) -> None:
    tsv(
        folder / "GQA_TestDev_Balanced.tsv",
        [
            {
                "index": number,
                "question": e["question"],
                "answer": e["answer"],
                "image": base64_of(mini / "images" / f"{e['imageId']}.jpg"),
            }
            for number, e in gqa_entries(mini).items()
        ],
    )


def gqa_hub(mini: Any, folder: Path) -> None:
    rows = [{"id": number, **entry} for number, entry in gqa_entries(mini).items()]
    names = sorted({row["imageId"] for row in rows})
    images = [{"id": n, "image": packed(mini / "images" / f"{n}.jpg")} for n in names]
    shards(folder / "testdev_balanced_instructions", "testdev", rows)
    shards(folder / "testdev_balanced_images", "testdev", images)


def mmmu_rows(mini: Any) -> Iterator[Any]:
    for subject in SUBJECTS:
        (file,) = (mini / subject).glob("validation-*.parquet")
        for row in parquet.read_table(file).to_pylist():
            yield subject, row


def mmmu_hub(mini: Any, folder: Path) -> None:
    shards(folder / "data", "validation", [row for _, row in mmmu_rows(mini)])


def mmmu_tsv(mini: Any, folder: Path) -> None:
    rows = []
    for index, (subject, row) in enumerate(mmmu_rows(mini)):
        options = json.loads(row["options"].replace("'", '"'))
        opened = not options
        texts = [row["answer"], "Other Answers"] if opened else options
        letters = dict.fromkeys("ABCDE", "") | dict(zip("ABCD", texts, strict=False))
        image = base64.b64encode(row["image_1"]["bytes"]).decode()
        rows.append(
            {
                "index": index,
                "id": row["id"],
                "question": row["question"],
                **letters,
                "answer": "A" if opened else row["answer"],
                "split": "validation",
                "category": subject,
                "image": str([image]),
            }
        )
    tsv(folder / "MMMU_DEV_VAL.tsv", [*rows, {**rows[0], "index": 9999, "split": "dev"}])


COPIES = (
    ("pope", pope_tsv),
    ("pope", pope_hub),
    ("pope", pope_full),
    ("mme", mme_tsv),
    ("mme", mme_hub),
    ("mmbench", mmbench_hub),
    ("seed", seed_tsv),
    ("seed", seed_hub),
    ("gqa", gqa_tsv),
    ("gqa", gqa_hub),
    ("mmmu", mmmu_hub),
    ("mmmu", mmmu_tsv),
)


@pytest.mark.parametrize(("name", "write"), COPIES, ids=lambda value: getattr(value, "__name__", 0))
def test_a_copy_asks_the_same_and_scores_the_same(
    name: Any, write: Any, mini: Any, data_at: Any, tmp_path: Path, marked: Any
) -> None:
    task = registry.task(name)
    data = mini.data(name, task)
    original = list(task.samples(data))
    if name == "pope":  # copies hold the COCO part
        original = [s for s in original if s.target["source"] == "coco"]
    write(data.folder, tmp_path)
    assert load("official", tmp_path).data(name, task).folder == tmp_path, "--data DIR finds it"
    copied = list(task.samples(data_at(tmp_path)))

    def key(sample: Any) -> tuple[Any, ...]:
        return sample.request.question, [p.read_bytes() for p in sample.request.images]

    theirs = sorted(map(key, original))
    assert sorted(map(key, copied)) == theirs
    groups = ({s.group for s in samples} for samples in (original, copied))
    assert len(next(groups)) == len(next(groups)), "what shares an image is still one group"

    def reply(sample: Any) -> Any:  # sometimes wrong, the same for the same question
        text, (image, *_) = sample.request.question, sample.request.images
        return task.bounds(sample)[hash((text, image.read_bytes())) % 3 > 0]

    expected, found = (task.summarize(marked(task, s, reply)) for s in (original, copied))
    shared = expected.keys() & found.keys()
    assert task.headline in {metric.partition("[")[0] for metric in shared}
    if write is not gqa_tsv:  # it has neither types nor groups
        assert shared == expected.keys()
    assert {n: found[n] for n in shared} == pytest.approx({n: expected[n] for n in shared})


def test_what_is_wrong_with_a_copy_is_said(data_at: Any, tmp_path: Path, mini: Any) -> None:
    pope, mme, seed = (registry.task(name) for name in ("pope", "mme", "seed"))
    pope_tsv(mini.data("pope", pope).folder, tmp_path)
    text = (tmp_path / "POPE.tsv").read_text()
    (tmp_path / "POPE.tsv").write_text(text.replace("popular", "hard"))
    with pytest.raises(UserError, match="no split 'hard'"):
        list(pope.samples(data_at()))
    mme_tsv(mini.data("mme", mme).folder, tmp_path)
    lines = (tmp_path / "MME.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "MME.tsv").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="code_reasoning is missing or has half a pair"):
        list(mme.samples(data_at()))
    seed_hub(mini.data("seed", seed).folder, tmp_path)
    for file in (tmp_path / "data").glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        list(seed.samples(data_at()))


def test_a_copy_without_official_ids_gives_no_official_answer_file(
    data_at: Any, tmp_path: Path, mini: Any, marked: Any
) -> None:
    task = registry.task("pope")
    for write, files in ((pope_hub, 3), (pope_tsv, 0)):
        folder = tmp_path / write.__name__
        folder.mkdir()
        write(mini.data("pope", task).folder, folder)
        samples = list(task.samples(data_at(folder)))
        assert len(task.files_after(samples, marked(task, samples, lambda s: "yes"))) == files


def test_changed_files_of_pope_are_refused_by_their_digest(data_at: Any, tmp_path: Path) -> None:
    for split in pope_files.SPLITS:
        rows = [
            {"question_id": i, "image": "1.jpg", "text": f"Is there a {i}?", "label": "no"}
            for i in range(1, 3001)
        ]
        (tmp_path / f"coco_pope_{split}.json").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match="is not the published file"):
        list(registry.task("pope").samples(data_at(suite="official")))
