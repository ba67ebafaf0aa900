"""What `core.cost` predicts of a phase on this machine, beside the phase.

    python benchmarks/plan_check.py tiny | middle

One thread, seconds of its CPU. The machine's rates are measured before and after, the better one
counts; lengths of rollouts are those of the phase itself, so that the prediction is of time alone.
The middle model is random, of 26 million weights and 448 px pictures; what it says is noise of full
length, so its rollouts have one turn.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from at_size import SHAPES, make_folder
from phase_costs import Costs, measure

from vigorl.core.cost import Workload, predict
from vigorl.diagnosis.plan import ON_CPU, measured_cpu, model_cost, policy_of, workload_of
from vigorl.diagnosis.plan_flags import Asked

SHAPES["middle"] = (
    "tiny_start",
    {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8,
     "num_attention_heads": 4, "num_key_value_heads": 2},
    {"hidden_size": 256, "intermediate_size": 688, "depth": 6, "num_heads": 4,
     "out_hidden_size": 512, "fullatt_block_indexes": [1, 3, 5], "window_size": 112},
)  # fmt: skip
TINY = ["data.num_train=128", "kl_coef=0.01"]
MIDDLE = [
    "model.maker=null", "reward._target_=at_size.IdReward", "pixels.max_pixels=200704",
    "plan.prompts_per_phase=2", "plan.group_size=4", "plan.sequences_per_update=8",
    "plan.micro_batch_size=4", "data.num_train=8", "kl_coef=0.01", "limits.max_new_tokens=32",
]  # fmt: skip


def workload(costs: Costs) -> Workload:
    """The settings', with the lengths of the rollouts that there were."""
    work, found = workload_of(costs.cfg, Asked(), policy_of(costs.cfg)), costs.rollouts
    turns = [len(one.turns) for one in found]
    tokens = [[len(turn.completion_ids) for turn in one.turns] for one in found]
    as_sampled = replace(
        work,
        turns=statistics.mean(turns),
        longest_turns=max(turns),
        turn_tokens=sum(map(sum, tokens)) / sum(turns),
        longest_turn_tokens=max(map(max, tokens)),
        longest_tokens=max(map(sum, tokens)),
        text_tokens=statistics.mean(len(one.prompt_ids) - 1 for one in found),
    )
    num_sorted = costs.cfg.plan.sequences_per_update
    return replace(as_sampled, row_tokens=as_sampled.padded_tokens(4, num_sorted=num_sorted))


def main(size: str) -> None:
    torch.set_num_threads(1)
    time.perf_counter = time.thread_time
    before = measured_cpu()
    with tempfile.TemporaryDirectory() as home:
        said = TINY
        if size == "middle":
            folder = make_folder("middle", Path(home) / "random")
            said = [f"model.path={folder}", "model.dtype=float32", *MIDDLE]
        costs = measure(*said)
        after, work = measured_cpu(), workload(costs)
        policy = policy_of(costs.cfg)
    here = replace(
        before,
        flops=max(before.flops, after.flops),
        memory_rate=max(before.memory_rate, after.memory_rate),
    )
    model = model_cost(policy, engine_bytes=4)
    found = predict(model, work, here, num_devices=1, achieved=ON_CPU)
    seconds = {part.name: part.seconds for part in found.parts}
    print(
        f"{here.flops / 1e9:.1f} GFLOP/s, {here.memory_rate / 1e9:.1f} GB/s; {work.rollouts} "
        f"rollouts, {work.turns:.2f} turns of {work.turn_tokens:.1f} tokens, {found.tokens:.0f} "
        "tokens a pass"
    )
    print({name: round(value, 3) for name, value in costs.seconds.items()})
    print({name: round(value, 3) for name, value in seconds.items()})
    of_engine = ("read", "see", "decode", "tools")
    of_learner = ("features", "logprob", "update", "optimizer")
    rows = {
        "generating": (sum(seconds[name] for name in of_engine), costs.generating),
        "learning": (sum(seconds[name] for name in of_learner), costs.learning),
        "the phase": (found.seconds, costs.all),
    }  # fmt: skip
    for name, (predicted, measured) in rows.items():
        ratio = predicted / measured
        print(f"| {size} | {name} | {predicted:.2f} | {measured:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1])
