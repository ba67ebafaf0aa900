"""What it takes to read tables with pictures in them: memory, time per 1,000 rows, and how many
pictures are decoded before they are needed (none).

    python benchmarks/tables.py FOLDER            # about 8 GB on disk, 5 minutes on two cores

Each table is made in FOLDER and read twice, each time by a process of its own: at first its
pictures are unpacked, then they are there. Memory is the largest resident set above that of the
imports, beside what it is after a quarter of the rows: it does not grow with the rows.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFile

QUESTIONS, ORDERS, ROWS = 200, 4, 20_000
PICTURES = 5_000  # of the 20,000 rows
PER_GROUP = 100  # rows of a Parquet row group, as the hub writes them
MAP_PX = (14_000, 20_000)

OPTIONS = dict(zip("ABCD", ["27", "72", "21", "17"], strict=True))
COLUMNS = {"question": "question", "options": list(OPTIONS), "answer": "answer",
           "answer_form": "letter", "pictures": "image", "id": "index"}  # fmt: skip


def noisy_jpeg(width: int, height: int, *, quality: int) -> bytes:
    """A picture that compresses like a photograph."""
    dice = np.random.default_rng(0)
    coarse = dice.integers(0, 255, (height // 12, width // 12, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    fine = dice.normal(0, 9, (height, width, 1))
    noisy = np.clip(np.asarray(picture) + fine, 0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(noisy).save(held, "JPEG", quality=quality)
    return held.getvalue()


def copies(data: bytes, count: int) -> Iterator[bytes]:
    """As many different files of the same picture: something stands behind its end."""
    for number in range(count):
        yield data + number.to_bytes(4, "big")


def write_tsv(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    part = path.with_suffix(".part")
    with open(part, "w") as file:
        for number, row in enumerate(rows):
            if number == 0:
                print(*row, sep="\t", file=file)
            print(*row.values(), sep="\t", file=file)
    part.rename(path)


def orders_of_large_pictures() -> Iterator[Mapping[str, Any]]:
    large = noisy_jpeg(4032, 3024, quality=80)
    print(f"pictures of 4032x3024 px have {len(large) / 1e6:.1f} MB")
    texts = list(OPTIONS.values())
    for question, picture in enumerate(copies(large, QUESTIONS)):
        text = base64.b64encode(picture).decode()
        for turn in range(ORDERS):
            turned = dict(zip(OPTIONS, texts[-turn:] + texts[:-turn], strict=True))
            yield {
                "index": question * ORDERS + turn, "question": "Which number?", "image": text,
                **turned, "answer": "ABCD"[turn], "category": "single", "cycle_category": turn,
            }  # fmt: skip


def many_small_pictures() -> Iterator[Mapping[str, Any]]:
    small = noisy_jpeg(640, 480, quality=70)
    pictures = list(copies(small, PICTURES))
    print(f"pictures of 640x480 px have {len(small) / 1e3:.0f} kB")
    for number in range(ROWS):
        yield {
            "index": number, "question": f"What is {number}?",
            "image": pictures[number % PICTURES], **OPTIONS, "answer": "A",
        }  # fmt: skip


def as_text(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        yield {**row, "image": base64.b64encode(row["image"]).decode()}


def write_parquet(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    part, writer = path.with_suffix(".part"), None
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append({**row, "image": {"bytes": row["image"], "path": None}})
        if len(group) == PER_GROUP:
            table = pa.Table.from_pylist(group)
            writer = writer or pq.ParquetWriter(part, table.schema)
            writer.write_table(table)
            group = []
    assert writer is not None
    writer.close()
    part.rename(path)


def write_map(path: Path) -> None:
    Image.MAX_IMAGE_PIXELS = None
    dice = np.random.default_rng(0)
    coarse = dice.integers(0, 255, (350, 250, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(MAP_PX).save(path, quality=80)


TABLES: dict[str, Callable[[Path], None]] = {
    "hr_bench_4k.tsv": lambda path: write_tsv(path, orders_of_large_pictures()),
    "many.tsv": lambda path: write_tsv(path, as_text(many_small_pictures())),
    "many.parquet": lambda path: write_parquet(path, many_small_pictures()),
}


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def largest_mb() -> float:
    """Since `forget_largest`, or the start."""
    status = Path("/proc/self/status").read_text()
    return next(
        int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmHWM")
    )


def forget_largest() -> None:
    """The imports' own peak is not the reader's."""
    Path("/proc/self/clear_refs").write_text("5")


def read(path: Path) -> dict[str, Any]:
    """In a process of its own: the tasks of a table, as an evaluation loads them."""
    from vigorl.data.sources.pictures import Pictures
    from vigorl.data.splits import DataSplits
    from vigorl.evaluation.benchmarks.hrbench import HRBench
    from vigorl.evaluation.benchmarks.table import TableBenchmark

    decoded, after = 0, []
    load = ImageFile.ImageFile.load

    def counted(self: ImageFile.ImageFile) -> Any:
        nonlocal decoded
        decoded += 1
        return load(self)

    ImageFile.ImageFile.load = counted
    kind = HRBench if path.name.startswith("hr") else TableBenchmark
    category = {"category": "category"} if kind is HRBench else {}
    bench = kind(
        name="table",
        root=str(path.parent),
        download="",
        forms={"table": {"files": path.name, **COLUMNS, **category}},
    )
    files = Pictures.files

    def watched(self: Pictures, *args: Any) -> tuple[str, ...]:
        after.append(resident_mb())
        return files(self, *args)

    Pictures.files = watched
    forget_largest()
    base, began = resident_mb(), (time.perf_counter(), time.process_time())
    tasks = bench.tasks()
    took = time.perf_counter() - began[0], time.process_time() - began[1]
    peak = max(*after, largest_mb()) - base  # the kernel counts the largest late
    DataSplits(test_tasks=tasks)  # reads files of one size, to find copies
    return {
        "rows": len(tasks),
        "seconds_per_1000_rows": took[0] / len(tasks) * 1000,
        "cpu_seconds_per_1000_rows": took[1] / len(tasks) * 1000,
        "mb_after_a_quarter": max(after[: len(after) // 4]) - base,
        "mb_largest": peak,
        "decoded": decoded,
        "pictures": len({picture for task in tasks for picture in task.images}),
    }


def look(path: Path) -> dict[str, Any]:
    """In a process of its own: one large picture, its header and then its pixels."""
    from vigorl.data.images import open_image, read_size

    forget_largest()
    base, began = resident_mb(), time.perf_counter()
    size = read_size(path)
    header = time.perf_counter() - began
    header_mb = largest_mb() - base
    began = time.perf_counter()
    picture = open_image(path)
    picture.resize((1008, 1440), Image.Resampling.BICUBIC)
    return {
        "px": [size.width, size.height],
        "header_ms": header * 1000,
        "header_mb": header_mb,
        "decode_and_resize_s": time.perf_counter() - began,
        "mb_largest": largest_mb() - base,
    }


def apart(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)


def found(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a reader ended with {process.returncode}")
    return json.loads(said)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in TABLES.items():
        path = folder / name
        if not path.exists():
            write(path)
        for times in ("first", "again"):
            one = found(apart("read", str(path)))
            print(
                f"{name:16} {times:6} {path.stat().st_size / 1e9:5.2f} GB  {one['rows']:6} rows"
                f"  {one['seconds_per_1000_rows']:6.2f} s per 1,000"
                f" ({one['cpu_seconds_per_1000_rows']:.2f} of the CPU)"
                f"  +{one['mb_after_a_quarter']:4.0f} MB after a quarter"
                f"  +{one['mb_largest']:4.0f} MB at most"
                f"  {one['pictures']} files, {one['decoded']} decoded"
            )
    both = [apart("read", str(two_at_once(folder))) for _ in range(2)]
    first, second = (found(one) for one in both)
    print("two at once:", first["pictures"], second["pictures"], "files, leftovers:",
          [one.name for one in (folder / "two/.vigorl_pictures").glob("*.part*")])  # fmt: skip
    path = folder / "map.jpg"
    if not path.exists():
        write_map(path)
    print("map:", json.dumps(found(apart("look", str(path)))))


def two_at_once(folder: Path) -> Path:
    """A table whose pictures are not unpacked yet."""
    (folder / "two").mkdir(exist_ok=True)
    path = folder / "two" / "many.parquet"
    if not path.exists():
        path.symlink_to(folder / "many.parquet")
    return path


def run(words: Sequence[str]) -> None:
    if words[0] in ("read", "look"):
        print(json.dumps({"read": read, "look": look}[words[0]](Path(words[1]))))
    else:
        main(Path(words[0]).resolve())


if __name__ == "__main__":
    run(sys.argv[1:])
