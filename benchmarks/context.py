"""One long row read by one process, and by two together (model.context_parallel).

    python benchmarks/context.py [--tokens 3000] [--response 500] [--shape deep] [--checkpointing]

A random model of `middle.py`, one thread a process, a forward and a backward pass of the response's
log-probabilities, after a short one that brings gradients and connections about. Of each process:
the most memory above what it holds between updates, its own seconds of the processor, and how long
it took. Log-probabilities and the gradient's norm are compared.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import socket
import time
from typing import Any

import torch
import torch.distributed as dist
from middle import Rollout, held_bytes, made_model, made_rollouts, peak_bytes
from step import batch_of, pixels_of_views
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from vigorl.data.collate import TrainingBatch
from vigorl.models.parts import total_norm
from vigorl.models.policy import Policy
from vigorl.models.vision_cache import VisionCache

SIZES = (1, 2)
MMAP_THRESHOLD = -3  # of glibc's malloc.h


def learn(policy: Policy, batch: TrainingBatch, features: Tensor) -> Tensor:
    """Log-probabilities, of whose mean the gradient is taken."""
    context = policy.context
    if context is not None:
        context.is_reading = True
    logprobs, _ = policy.response_logprobs(batch, features=features, with_entropy=True)
    (-logprobs.sum() / batch.loss_mask.sum() / (context.size if context else 1)).backward()
    return logprobs.detach()


def measure(rank: int, size: int, port: int, args: argparse.Namespace, found: Any) -> None:
    torch.set_num_threads(1)
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 2**20)  # what is freed is not held in a heap's gaps
    where = f"tcp://localhost:{port}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=size)
    model = made_model(args.shape)
    policy = Policy(
        model, packing=True, context_parallel=size, gradient_checkpointing=args.checkpointing
    ).train()
    if policy.context is not None:
        policy.context.join()
    (first,) = made_rollouts(prompts=1, group=1, shortest=40, longest=40)
    ids, cut = first.prompt + first.response * (args.tokens // 40), args.tokens - args.response
    long = Rollout(ids[:cut], ids[cut : args.tokens], picture=0, advantage=1.0)
    short, batch = (batch_of([one], weight=1.0, with_pixels=False) for one in (first, long))
    features = VisionCache(policy).get(batch.views, pixels_of_views)
    learn(policy, short, features)
    for weight in policy.parameters():
        if weight.grad is not None:
            weight.grad.zero_()
    held, cpu_s, wall_s = held_bytes(), time.process_time(), time.perf_counter()
    logprobs = learn(policy, batch, features)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    peak = peak_bytes() - held
    gradients = [weight.grad for weight in policy.parameters() if weight.grad is not None]
    for gradient in gradients:
        dist.all_reduce(gradient)
    norm, scored = float(total_norm(gradients)), logprobs[batch.loss_mask].tolist()
    found.put((rank, peak / 2**20, cpu_s, wall_s, norm, scored))
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("tokens", 3000), ("response", 500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shape", default="deep")
    parser.add_argument("--checkpointing", action="store_true")
    args = parser.parse_args()
    processes, told = multiprocessing.get_context("spawn"), {}
    for size in SIZES:
        queue = processes.SimpleQueue()
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        spawn(measure, (size, port, args, queue), nprocs=size)
        told[size] = sorted(queue.get() for _ in range(size))
        for rank, peak, cpu_s, wall_s, norm, _ in told[size]:
            print(
                f"{size} together, process {rank}: {peak:,.0f} MiB, {cpu_s:.2f} CPU s, "
                f"{wall_s:.2f} s, gradient {norm:.6f}",
                flush=True,
            )
    alone = torch.tensor(told[1][0][-1])
    for size in SIZES[1:]:
        apart = float((torch.tensor(told[size][0][-1]) - alone).abs().max())
        peak = max(one[1] for one in told[size]) / told[1][0][1]
        print(f"{size} together: {peak:.2f} of the memory; log-probabilities {apart:.1e} apart")


if __name__ == "__main__":
    main()
