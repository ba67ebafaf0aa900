"""Overlap of generation and learning: wall-clock per phase and final accuracy, beside serial.

    python benchmarks/overlap.py [--seeds 0 1 2] [--phases 20] [--prompts 32] [--num-val 512]
    python benchmarks/overlap.py --server --phases 8     # in an environment with vLLM

Plain GRPO at the tiny scale, `overlap=none` beside `overlap=one_step`, the seeds in turns, a thread
per process. Without --server the hf engine works in the trainer's process, so that little can be
gained; what is compared is the accuracy. With it a vLLM server has the machine's last core and the
trainer its first; adapters are learned, which a CPU's server takes (rollout/engines/server.py). The
phases that count have no evaluation: all but the first two and the last. A run whose folder in
--out has its metrics is not run again; --most stops after so many, to go on another time.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from curves import Pairs, Run, paired_interval, percents, train_all

from vigorl.build import ASSETS

ARMS = {"serial": "overlap=none", "one_step": "overlap=one_step"}
METRICS = (
    "val/accuracy", "time/phase_s", "time/generate_s", "time/update_s", "time/wait_s",
    "rollout/staleness", "sampling_ratio/ess_frac",
)  # fmt: skip
LORA = [
    "model.lora={_target_:vigorl.models.lora.LoraSettings,rank:8}", "optimizer.lr=1e-3",
    "engine.adapters_only=true", "engine=server",
]  # fmt: skip
START_S = 500.0


@contextmanager
def served(folder: Path, *, core: int) -> Iterator[str]:
    """The address of a vLLM server on one core, which reads the tiny start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        "VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    }  # fmt: skip
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(ASSETS / "tiny_start"), "--host", "127.0.0.1", "--port", str(port),
        "--enable-scale-out", "--logprobs-mode", "processed_logprobs",
        "--generation-config", "vllm", "--limit-mm-per-prompt", '{"image": 5}',
        "--max-model-len", "2048", "--max-num-seqs", "128",
        "--enable-lora", "--max-lora-rank", "8", "--enforce-eager", "--dtype", "float32",
        "--no-async-scheduling", "--disable-chunked-mm-input", "--max-num-batched-tokens", "8192",
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.txt").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | variables, stdout=log, stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server has not started; server.txt says why")
        try:
            with urlopen(f"{url}/health", timeout=5):
                return
        except (URLError, TimeoutError):
            time.sleep(0.5)


def phase_s(found: dict[str, Pairs], name: str = "time/phase_s") -> float:
    """Median over the phases that count."""
    return statistics.median(value for _, value in found[name][2:-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Overlap beside serial.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--phases", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=32, help="of a phase, 8 rollouts each")
    parser.add_argument("--num-val", type=int, default=512)
    parser.add_argument("--most", type=int, default=None)
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("outputs/overlap"))
    args = parser.parse_args()
    root: Path = args.out / ("server" if args.server else "hf")
    common = [
        f"num_phases={args.phases}", f"rollout.eval_every={args.phases}",
        f"data.num_val={args.num_val}", f"plan.prompts_per_phase={args.prompts}",
        f"plan.sequences_per_update={8 * args.prompts}",
        f"plan.micro_batch_size={min(64, 8 * args.prompts)}",
        f"callbacks.checkpoint.every={args.phases}", "rollout.alignment.every=1000",
    ]  # fmt: skip
    every: list[Run] = [(arm, seed) for seed in args.seeds for arm in ARMS]
    todo = left(root, every)[: args.most]
    with ExitStack() as stack:
        if args.server and todo:
            cores = sorted(os.sched_getaffinity(0))
            url = stack.enter_context(served(root, core=cores[-1]))
            os.sched_setaffinity(0, {cores[0]})
            common += [*LORA, f"engine.urls=[{url}]"]
        words = {(arm, seed): [*common, ARMS[arm], f"seed={seed}"] for arm, seed in todo}
        train_all(root, words, METRICS, jobs=1)
    if missing := left(root, every):
        print(f"{len(missing)} of {len(every)} runs are left; the same command goes on")
    else:
        report(train_all(root, dict.fromkeys(every, ()), METRICS, jobs=1), args.seeds)


def left(root: Path, runs: list[Run]) -> list[Run]:
    """Those without their metrics."""
    return [(arm, seed) for arm, seed in runs if not (root / f"{arm}_{seed}/metrics.json").exists()]


def report(found: dict[Run, dict[str, Pairs]], seeds: list[int]) -> None:
    ratios = []
    for seed in seeds:
        serial, ahead = found["serial", seed], found["one_step", seed]
        ratios.append(phase_s(ahead) / phase_s(serial))
        print(
            f"seed {seed}: a phase takes {phase_s(serial):.2f} s one after the other (generate "
            f"{phase_s(serial, 'time/generate_s'):.2f}, update "
            f"{phase_s(serial, 'time/update_s'):.2f}), {phase_s(ahead):.2f} s overlapped (generate "
            f"{phase_s(ahead, 'time/generate_s'):.2f}, update "
            f"{phase_s(ahead, 'time/update_s'):.2f}, waited {phase_s(ahead, 'time/wait_s'):.2f}): "
            f"{ratios[-1]:.2f} of it"
        )
    final = {arm: [found[arm, seed]["val/accuracy"][-1][1] for seed in seeds] for arm in ARMS}
    ess = [found["one_step", seed]["sampling_ratio/ess_frac"][-1][1] for seed in seeds]
    print(f"overlapped / serial: {statistics.median(ratios):.2f} (median of the seeds)")
    for arm, shares in final.items():
        print(f"{arm}: final accuracy {percents(shares)} % by seed")
    differences = [b - a for a, b in zip(*final.values(), strict=True)]
    print(f"one_step - serial: {paired_interval(differences)} points")
    print(f"effective sample at the end: {percents(ess)} %")


if __name__ == "__main__":
    main()
