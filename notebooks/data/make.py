"""Makes the stored rollouts and trees of the notebooks again: `python notebooks/data/make.py`.

Six scenes of the made world, four rollouts each, and a search tree each. A scripted teacher says
what to do in the rollouts, better or worse from one to the next; the trees are the start
checkpoint's own. Dialog, crops, rewards and advantages come from the same parts that train. Paths
in the record are relative to notebooks/, those of the trees to their file. The record holds token
ids: make it again when the tokenizer of the start checkpoint changes.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import vigorl
from vigorl.core.protocols import GenerationRequest
from vigorl.core.records import TaskRecord
from vigorl.core.rewards import grounded_zoom_reward
from vigorl.data.encoding import ChatCodec
from vigorl.data.images import ImageStore
from vigorl.data.prompts import Prompt
from vigorl.data.scenes.draw import Scene, SceneSettings, draw_scene
from vigorl.data.scenes.questions import ask_attribute, ask_comparison
from vigorl.data.scenes.teacher import ScriptedTeacher, TeacherSettings
from vigorl.rollout.collector import build_dialogs, collect
from vigorl.rollout.engines.hf import HFEngine
from vigorl.rollout.engines.scripted import ScriptedEngine, turn_number
from vigorl.rollout.environment import Environment
from vigorl.rollout.experience import score_rollouts
from vigorl.rollout.limits import RolloutLimits
from vigorl.rollout.recorder import RolloutRecorder
from vigorl.rollout.tools.zoom_point import ZoomPoint
from vigorl.search.forest import grow_forest
from vigorl.search.mcts import SearchSettings
from vigorl.search.record import TreeRecorder
from vigorl.training.algorithms.grpo import GRPO
from vigorl.training.phase import credit_rollouts

NOTEBOOKS = Path(__file__).resolve().parents[1]
START = Path(vigorl.__file__).parent / "assets" / "tiny_start"
RUN_SEED, PHASE, NUM_SCENES, WINDOW_PX = 0, "notebook", 6, 112
LUCK_SEED = 281  # picked, so that some answers are right without a target having been seen
CAREFUL = TeacherSettings(hasty_frac=0.0, look_at_second_frac=1.0)
HASTY = TeacherSettings(hasty_frac=1.0, look_again_frac=0.0, look_at_second_frac=0.0)
LOOKS_AGAIN = TeacherSettings(hasty_frac=1.0, look_again_frac=1.0, look_at_second_frac=1.0)
KEEPS_MISSING = replace(CAREFUL, error_px=100, look_again_frac=1.0, max_looks=2)
SEARCH = SearchSettings(num_simulations=8, near_px=2)
LUCK = (CAREFUL, HASTY, LOOKS_AGAIN, KEEPS_MISSING)  # one rollout each of every group


def make_questions() -> list[tuple[TaskRecord, Scene]]:
    """Draw the scenes and save their pictures; every third question compares two signs."""
    questions = []
    for number in range(NUM_SCENES):
        scene = draw_scene(SceneSettings(), seed=number)
        name, path = f"scene-{number}", f"data/scene-{number}.png"
        scene.image.save(path, optimize=True)
        if number % 3 == 2:
            task = ask_comparison(scene, id=name, image=path)
        else:
            task = ask_attribute(scene, id=name, image=path)
        questions.append((task, scene))
    return questions


def main() -> None:
    os.chdir(NOTEBOOKS)
    codec, images = ChatCodec.from_pretrained(START), ImageStore.from_pretrained(START)
    tool = ZoomPoint(window_px=WINDOW_PX, view_px=WINDOW_PX)
    environment = Environment(
        prompt=Prompt("Point, zoom, then answer."),
        codec=codec,
        images=images,
        tools=[tool],
        limits=RolloutLimits(
            max_turns=5, max_images=5, max_new_tokens=128, max_response_tokens=1024
        ),
    )
    turns: dict[str, list[str]] = {}  # "group/index" -> what the policy says
    questions = make_questions()
    for task, scene in questions:
        view = images.whole(task.images[0])
        for index, luck in enumerate(LUCK):
            teacher = ScriptedTeacher(luck, tool=tool, window_px=WINDOW_PX)
            rng = random.Random(f"{LUCK_SEED}/{task.id}/{index}")
            trace = teacher.zoom_trace(task, scene, view, rng).trace
            turns[f"{PHASE}/{task.id}/{index}"] = trace.turns()

    def script(request: GenerationRequest) -> str:
        return turns[request.id.rpartition("/")[0]][turn_number(request) - 1]

    tasks = [task for task, _ in questions]
    dialogs = build_dialogs(
        environment, tasks, group_size=len(LUCK), phase=PHASE, run_seed=RUN_SEED
    )
    rollouts = collect(ScriptedEngine(script, codec), dialogs, phase=PHASE).rollouts
    record = Path("data/rollouts.jsonl")
    record.unlink(missing_ok=True)
    with RolloutRecorder(record, run_seed=RUN_SEED) as recorder:
        scored = score_rollouts(rollouts, grounded_zoom_reward())
        for one in credit_rollouts(scored, GRPO()).scored:
            recorder.write(one, phase=PHASE)

    trees = Path("data/trees.jsonl")
    trees.unlink(missing_ok=True)
    policy = HFEngine.from_pretrained(folder=str(START), codec=codec, images=images)
    with TreeRecorder(trees) as recorder:
        for tree in grow_forest(policy, environment, tasks, SEARCH, run_seed=RUN_SEED):
            recorder.write(tree)


if __name__ == "__main__":
    main()
