"""What do the pictures of a phase take on the host? 1,024 rollouts in groups of eight: 128 JPEG
files of 2.85 megapixels, and a crop of its own for each rollout, through the store of pictures and
the cache of a frozen tower's features (bfloat16, as wide as the 7B model's, on the CPU).

    python benchmarks/pictures.py [rollouts=1024] [cache_gib=2] [threads=1,2]

Printed: seconds to decode and resize by threads (the same pictures each, in turn); then, of the
phase, the peak of memory above the start, what of it is caches, the rest per rollout, and what the
doctor says of the caches. The tower itself is left out: its features are zeros of their size.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from vigorl.build import ASSETS
from vigorl.core.geometry import Box, Size
from vigorl.core.media import ImageView
from vigorl.core.process_memory import forget_peak, peak_bytes, resident_bytes
from vigorl.data.images import ImageStore
from vigorl.models.policy import Policy
from vigorl.models.vision_cache import VisionCache

SIZE, CROP_PX, VIEW_PX, GROUP, WIDTH = (1792, 1596), 448, 448, 8, 3584
STEP = 8  # rollouts of a micro-batch
MB = 1e6


class ZeroTower:
    """In place of a policy: features of the right size, and no work."""

    is_vision_frozen, feature_width, dtype = True, WIDTH, torch.bfloat16
    device = torch.device("cpu")

    def encode_views(self, pixels: torch.Tensor, grids: torch.Tensor) -> list[torch.Tensor]:
        assert len(pixels) == int(grids.prod(1).sum())
        return [torch.zeros(int(n) // 4, WIDTH, dtype=self.dtype) for n in grids.prod(1)]


def main() -> None:
    words = dict(one.split("=", 1) for one in sys.argv[1:])
    rollouts = int(words.get("rollouts", 1024))
    threads = [int(n) for n in words.get("threads", "1,2").split(",")]
    cache_bytes = int(float(words.get("cache_gib", 2)) * 2**30)
    with tempfile.TemporaryDirectory() as folder:
        files = make_pictures(Path(folder), rollouts // GROUP)
        time_threads(files[:16], threads)
        store = new_store(cache_bytes)
        store.batch([store.whole(files[0])])  # imports and tables
        measure(store, files, cache_bytes)


def make_pictures(folder: Path, num: int) -> list[str]:
    dice, files = np.random.default_rng(0), list[str]()
    for i in range(num):
        coarse = dice.integers(0, 256, (56, 64, 3), dtype=np.uint8)
        files.append(str(folder / f"{i}.jpg"))
        Image.fromarray(coarse).resize(SIZE).save(files[-1], quality=90)
    return files


def new_store(cache_bytes: int) -> ImageStore:
    store = ImageStore.from_pretrained(ASSETS / "tiny_start", cache_bytes=cache_bytes)
    store.sizing = store.sizing.within(max_pixels=SIZE[0] * SIZE[1])
    return store


def time_threads(files: list[str], threads: list[int]) -> None:
    spent = {n: list[float]() for n in threads}
    for _ in range(3):
        for n in threads:
            torch.set_num_threads(n)
            store = new_store(1 << 30)
            views = [store.whole(file) for file in files]
            started = time.perf_counter()
            store.show(views)
            spent[n].append(time.perf_counter() - started)
    for n, some in spent.items():
        each_ms = 1e3 * min(some) / len(files)
        print(f"{n} threads: {each_ms:.0f} ms a picture, best of 3", flush=True)


def measure(store: ImageStore, files: list[str], cache_bytes: int) -> None:
    cache = VisionCache(cast(Policy, ZeroTower()))
    forget_peak()
    start, started = resident_bytes(), time.process_time()
    for first in range(0, len(files) * GROUP, STEP):
        views = list[ImageView]()
        for rollout in range(first, first + STEP):
            whole = store.whole(files[rollout // GROUP])
            left, top = 130 * (rollout % GROUP), 100 * (rollout % GROUP)
            box = Box(left, top, left + CROP_PX, top + CROP_PX)
            crop = ImageView(whole.source, whole.original, Size(VIEW_PX, VIEW_PX), box)
            views += [whole, crop]
        cache.get(views, lambda some: as_pair(store.batch(some)))
    used, risen = time.process_time() - started, peak_bytes() - start
    pictures = store.originals.currsize + store.shown.currsize
    features = int(cache._features.currsize)
    num = len(files) * GROUP
    print(
        f"{num} rollouts, {len(files)} pictures: peak {risen / MB:,.0f} MB above the start "
        f"({risen / MB / num:.1f} a rollout), {used:.0f} s of the processor\n"
        f"  features {features / MB:,.0f} MB, pictures {pictures / MB:,.0f} of at most "
        f"{cache_bytes / MB:,.0f} MB, the rest {(risen - features - pictures) / MB:,.0f} MB"
    )


def as_pair(made: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return made.pixel_values, made.grid_thw


if __name__ == "__main__":
    main()
