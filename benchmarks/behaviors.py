"""What policies do while they look, from stored rollouts: the paper's table 5.

    python -m vigorl.evaluate experiment=eval_vstar model.path=...      # leaves rollouts.jsonl
    python benchmarks/behaviors.py --condition before=A/rollouts.jsonl --condition after=B/...

Prints a markdown table of the counts by rules (`vigorl.evaluation.behaviors` says what each can
tell). A judge model counts beside them when one is named:

    ... --judge-url https://api.example.com --judge-model NAME --judge-key-env EXAMPLE_KEY

It is sent the text of every sampled trace four times, so mind what that costs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vigorl.evaluation.behavior_table import compare_behaviors, read_condition
from vigorl.evaluation.behaviors import BehaviorRules
from vigorl.rollout.judge import ChatJudge


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--condition", action="append", required=True, metavar="NAME=PATH",
        help="rollouts.jsonl of a run or evaluation; the first is what others are compared with",
    )  # fmt: skip
    parser.add_argument("--phase", help="of records with several, the one to take")
    parser.add_argument("--max-traces", type=int, default=300, help="of a condition, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only-correct", action="store_true", help="questions that all got right")
    parser.add_argument("--near-px", type=float, default=10.0, help="one region, RESIZED pixels")
    parser.add_argument("--max-overlap", type=float, default=0.5, help="of windows of two regions")
    parser.add_argument("--judge-url", action="append", help="base URL of a chat endpoint")
    parser.add_argument("--judge-model", help="the served model's name")
    parser.add_argument("--judge-key-env", help="environment variable that holds the API key")
    parser.add_argument("--judge-extra", type=json.loads, help="fields of a request, as JSON")
    parser.add_argument("--out", type=Path, help="write the table there too")
    given = parser.parse_args(arguments)
    paths = dict(one.partition("=")[::2] for one in given.condition)
    if len(paths) < len(given.condition) or not all(paths.values()):
        parser.error("--condition is NAME=PATH, every name once")
    if bool(given.judge_url) != bool(given.judge_model):
        parser.error("a judge needs both --judge-url and --judge-model")
    judge = None
    if given.judge_url:
        judge = ChatJudge(
            given.judge_url, model=given.judge_model, api_key_env=given.judge_key_env,
            extra=given.judge_extra,
        )  # fmt: skip
    table = compare_behaviors(
        {name: read_condition(path, phase=given.phase) for name, path in paths.items()},
        rules=BehaviorRules(near_px=given.near_px, max_overlap_frac=given.max_overlap),
        judge=judge,
        only_correct=given.only_correct,
        max_traces=given.max_traces,
        seed=given.seed,
    ).markdown()
    print(table, end="")
    if given.out:
        given.out.write_text(table)


if __name__ == "__main__":
    main()
