"""My own program in place of a command line: it trains with its own reward, evaluates and asks.

    python examples/train_from_python.py

Settings may follow, as any command line takes them; `data=[...]` of `vigorl.compose` takes rows.
"""

import sys

import vigorl
from vigorl.core.rollout import Rollout


def brief(rollout: Rollout) -> float:
    """A right answer, the better the fewer turns it took."""
    return rollout.score * (1 - 0.1 * len(rollout.turns))


if __name__ == "__main__":
    cfg = vigorl.compose("grpo_vstar", "num_phases=5", *sys.argv[1:], reward=brief)
    run = vigorl.train(cfg)
    print("reward by phase:", run.metrics["reward/brief"].values)
    found = vigorl.evaluate(run, "limit=64")
    print(f"accuracy {found.accuracy}, {found.folder}")
    task = found.rollouts()[0].rollout.task
    answer = vigorl.ask(run, task.images[0], task.question, task.options)
    print(task.question, answer.text, answer.confidence)
    answer.picture().save(run.folder / "asked.png")
