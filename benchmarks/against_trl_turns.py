"""A step of several turns with pictures, of vigorl and of TRL through its own environments.

    python -m venv /tmp/trl
    /tmp/trl/bin/pip install trl==1.16.0 torch==2.13.0 transformers==5.19.0 accelerate==1.15.0 \\
        pillow==13.0.0
    OMP_NUM_THREADS=1 python benchmarks/against_trl_turns.py --trl /tmp/trl/bin/python \\
        [--prompts 16] [--group 8] [--rounds 3]

The same weights (tiny_start), the same made questions, the same zoom, float32, the tower frozen, 64
sequences a micro-batch, at most five turns of 64 tokens, no KL, one update, AdamW. vigorl: a phase
of `experiment=grpo_vstar` with engine=hf and the tiny scale's settings. TRL: `GRPOTrainer.train`
with `environment_factory` and transformers' `generate`, whose tool answers with a picture
(`_tool_call_loop`). Each way trains two steps in a process of its own, and the second is told; ways
take turns. TRL's second is on the questions of its first, which are those of vigorl's second.

What is made for TRL is what this model has not: a processor without a video processor (which needs
torchvision), and a chat template that has calls and replies. Its prompts must be vigorl's, id by
id, which is checked.

    vigorl      as the tiny scale is set
    all         reads rollouts without advantage too, as TRL does; they change no gradient
    shared      with model.packing, model.shared_prefix and rollout.reuse_features
    trl         TRL 1.16

    step        CPU seconds of the process, from the first prompt to the optimizer's step
    generating  of it, with tools and their pictures
    update      of it, from the first micro-batch on; the rest is rewards and preparing
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from running import ask

OVERRIDES = {
    "vigorl": (),
    "all": ("algorithm._target_=turns_parts.FromAll",),
    "shared": (
        "model.packing=true",
        "model.shared_prefix=true",
        "rollout.reuse_features=true",
    ),
}
WAYS = (*OVERRIDES, "trl")
STEPS, MICRO_BATCH, MAX_TURNS, TURN_TOKENS, ALL_TOKENS, LR = 2, 64, 5, 64, 512, 2e-4
SIDE_PX, SHOWN_PX, WINDOW_PX = 448, 112, 112  # of a made picture, as it is shown, of a crop
PICTURE = (SHOWN_PX // 28) ** 2  # tokens of one
TASKS, START = "tasks.json", "start.txt"
SYSTEM = "Point, zoom, then answer."
REPLY = "Here is the crop of the image centered on the coordinate:\n"
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
CHAT = (
    "{% for message in messages %}"
    "{% set is_reply = message.role == 'tool' %}"
    "<|im_start|>{{ 'user' if is_reply else message.role }}\n"
    "{% if is_reply %}<observation>\n{% endif %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}"
    "{% for call in message.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}"
    "{% if is_reply %}\n</observation>{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Task:
    """A question as TRL is asked it; `prompt_ids` are vigorl's."""

    picture: str
    question: str
    answer: str
    prompt_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One step.

    Attributes:
        step, generating, update: CPU seconds.
        rollouts: How many.
        turns, pictures, tokens: Of a mean rollout; tokens are the policy's own.
        length: Tokens of a mean rollout with prompt, replies and pictures.
        learned: Rollouts that the update reads.
    """

    step: float
    generating: float
    update: float
    rollouts: int
    turns: float
    pictures: float
    tokens: float
    length: float
    learned: int


def measure_vigorl(args: argparse.Namespace, folder: Path) -> Measured:
    """Also writes the questions of its last phase for TRL."""
    from hydra import compose, initialize_config_dir
    from turns_parts import PhaseClock

    from vigorl.build import ASSETS, CONFIGS
    from vigorl.core.metrics_file import read_metrics
    from vigorl.rollout.recorder import read_rollouts
    from vigorl.train import train

    time.perf_counter = time.process_time  # so `time/generate_s` is of the CPU too
    count = args.prompts * args.group
    with tempfile.TemporaryDirectory() as home:
        run = Path(home) / "run"
        said = [
            "experiment=grpo_vstar", "num_threads=1", "trainer.accelerator=cpu", "logger=none",
            f"num_phases={STEPS}", "rollout.eval_every=0", "rollout.alignment=null",
            "data.num_train=128", "data.num_val=4", "data.num_test=4",
            f"plan.prompts_per_phase={args.prompts}", f"plan.group_size={args.group}",
            f"plan.sequences_per_update={count}",
            f"plan.micro_batch_size={min(MICRO_BATCH, count)}",
            f"optimizer.lr={LR}", f"limits.max_turns={MAX_TURNS}",
            f"limits.max_new_tokens={TURN_TOKENS}", f"limits.max_response_tokens={ALL_TOKENS}",
            "callbacks.rollout_logger.tokens=false", "callbacks.rollout_logger.every=99",
            "callbacks.throughput._target_=turns_parts.PhaseClock",
            f"paths.root={home}", f"paths.run={run}", f"paths.world={folder}",
            *OVERRIDES[args.way],
        ]  # fmt: skip
        with initialize_config_dir(CONFIGS, version_base="1.3"):
            train(compose("train", said))
        metrics = [one for one in read_metrics(run / "metrics.jsonl") if one.kind == "train"]
        records = read_rollouts(run / f"rollouts/train_phase_{STEPS - 1:04d}.jsonl")
        rollouts = [one.scored for one in records]
    tasks = {
        one.rollout.task.id: Task(
            one.rollout.task.images[0],
            one.rollout.task.question,
            one.rollout.task.answer,
            one.rollout.prompt_ids,
        )
        for one in rollouts
    }
    (folder / TASKS).write_text(json.dumps([asdict(one) for one in tasks.values()]))
    (folder / START).write_text(str(ASSETS / "tiny_start"))
    step, update = PhaseClock.phases[-1]
    each = [one.rollout for one in rollouts]
    return Measured(
        step=step,
        generating=metrics[-1].metrics["time/generate_s"],
        update=update,
        rollouts=len(each),
        turns=_mean(len(one.turns) for one in each),
        pictures=_mean(len(one.views) for one in each),
        tokens=_mean(sum(one.loss_mask) for one in each),
        length=_mean(len(one.token_ids) + (PICTURE - 1) * len(one.views) for one in each),
        learned=count if args.way == "all" else sum(one.advantage != 0 for one in rollouts),
    )


def measure_trl(args: argparse.Namespace, folder: Path) -> Measured:
    """Of the questions that `measure_vigorl` has written."""
    from datasets import Dataset
    from transformers import Qwen2_5_VLForConditionalGeneration, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportMissingImports]
    from trl.chat_template_utils import qwen3_template  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    tasks = [Task(**one) for one in json.loads((folder / TASKS).read_text())]
    start = (folder / START).read_text()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    model.model.visual.requires_grad_(False)
    processor = made_processor(start)
    processor.tokenizer.response_template = qwen3_template  # <think>, <tool_call> and the rest
    count = len(tasks) * args.group
    settings = GRPOConfig(
        output_dir=str(folder / "trl"), use_cpu=True, bf16=False, gradient_checkpointing=False,
        max_steps=STEPS, per_device_train_batch_size=min(MICRO_BATCH, count),
        gradient_accumulation_steps=max(count // MICRO_BATCH, 1), num_generations=args.group,
        max_completion_length=ALL_TOKENS, max_tool_calling_iterations=MAX_TURNS - 1,
        generation_kwargs={"max_new_tokens": TURN_TOKENS, "suppress_tokens": banned(processor)},
        temperature=1.0, beta=0.0, loss_type="dapo", learning_rate=LR, lr_scheduler_type="constant",
        weight_decay=0.0, adam_beta2=0.95, max_grad_norm=1.0, shuffle_dataset=False,
        logging_strategy="no", save_strategy="no", report_to=[], disable_tqdm=True,
    )  # fmt: skip
    prompt = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ""}]
    rows = [
        {"prompt": prompt, "picture": t.picture, "question": t.question, "answer": t.answer}
        for t in tasks
    ]

    begun, spent = 0.0, defaultdict[str, list[float]](list)

    class Clock(TrainerCallback):
        def on_step_begin(self, *given: Any, **named: Any) -> None:
            nonlocal begun
            begun = time.process_time()

        def on_step_end(self, *given: Any, **named: Any) -> None:
            spent["step"].append(time.process_time() - begun)

    trainer = GRPOTrainer(
        model=model, processing_class=processor, args=settings, reward_funcs=reward,
        train_dataset=Dataset.from_list(rows), environment_factory=Looking, callbacks=[Clock()],
    )  # fmt: skip
    found: tuple[Any, ...] = ()
    generate, score = trainer._generate, trainer._generate_and_score_completions

    def generated(*given: Any) -> Any:
        nonlocal found
        start = time.process_time()
        found = generate(*given)
        spent["generating"].append(time.process_time() - start)
        return found

    def scored(*given: Any) -> Any:
        made = score(*given)
        spent["before"].append(time.process_time() - begun)
        return made

    trainer._generate, trainer._generate_and_score_completions = generated, scored
    trainer.train()
    assert len(spent["step"]) == len(spent["generating"]) == STEPS
    prompt_ids, completion_ids, masks, completions, _, _, pictures, _ = found
    image = model.config.image_token_id
    asked = [one for task in tasks for one in [task] * args.group]
    for task, ids in zip(asked, prompt_ids, strict=True):
        once = [one for i, one in enumerate(ids) if one != image or ids[i - 1] != image]
        if tuple(once) != tuple(task.prompt_ids):
            raise SystemExit(f"another prompt:\n{processor.tokenizer.decode(once)}")
    return Measured(
        step=spent["step"][-1],
        generating=spent["generating"][-1],
        update=spent["step"][-1] - spent["before"][-1],
        rollouts=count,
        turns=_mean(sum(m["role"] == "assistant" for m in one) for one in completions),
        pictures=_mean(map(len, pictures)),
        tokens=_mean(map(sum, masks)),
        length=_mean(len(a) + len(b) for a, b in zip(prompt_ids, completion_ids, strict=True)),
        learned=count,
    )


def made_processor(folder: str) -> Any:
    """Qwen2.5-VL's, for pictures alone."""
    from transformers import AutoImageProcessor, AutoTokenizer, ProcessorMixin, Qwen2_5_VLProcessor

    class PictureProcessor(Qwen2_5_VLProcessor):
        def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str) -> None:
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(
                [self.image_token, self.video_token]
            )
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    return PictureProcessor(
        AutoImageProcessor.from_pretrained(folder, backend="pil"),
        AutoTokenizer.from_pretrained(folder),
        chat_template=CHAT,
    )


def banned(processor: Any) -> list[int]:
    """What vigorl never samples: all control tokens but the end of a turn."""
    tokenizer = processor.tokenizer
    controls = {i for i, one in tokenizer.added_tokens_decoder.items() if one.special}
    return sorted(controls - {tokenizer.eos_token_id})


class Looking:
    """TRL's environment: a question, its picture, and the zoom; a public method is a tool."""

    def reset(self, picture: str, question: str, **row: Any) -> list[dict[str, Any]]:
        self._picture = Image.open(picture).convert("RGB")
        self._points: set[tuple[int, ...]] = set()
        return [{"type": "image", "image": self._picture}, {"type": "text", "text": question}]

    def search_coordinate(self, coordinate: list[int]) -> list[dict[str, Any]]:
        """
        Look at a spot.

        Args:
            coordinate: x and y in the picture as it is shown.
        """
        center = [one * SIDE_PX / SHOWN_PX for one in coordinate]
        if len(center) != 2 or not all(0 <= one < SIDE_PX for one in center):
            raise ValueError("the point is not on the picture")
        self._points.add(tuple(coordinate))
        left, top = (min(max(round(one - WINDOW_PX / 2), 0), SIDE_PX - WINDOW_PX) for one in center)
        crop = self._picture.crop((left, top, left + WINDOW_PX, top + WINDOW_PX))
        return [{"type": "text", "text": REPLY}, {"type": "image", "image": crop}]


def reward(
    completions: Sequence[Any], environments: Sequence[Looking], answer: Sequence[str], **_: Any
) -> list[float]:
    """The numbers of `grounded_zoom_reward`: accuracy, form, places of a right answer."""
    found = []
    for messages, environment, wanted in zip(completions, environments, answer, strict=True):
        said = ANSWER.findall(str(messages[-1]["content"]))
        is_right = bool(said) and said[0].strip() == wanted
        places = min(len(environment._points), 4)
        found.append(0.2 * bool(said) + is_right * (0.6 + 0.25 * 0.2 * places))
    return found


def _mean(values: Iterable[float]) -> float:
    return statistics.mean(list(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl", required=True, help="the Python that has trl 1.16.0")
    for name, default in (("prompts", 16), ("group", 8), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, default=Path("outputs/against_trl_turns"))
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if args.way:
        measure = measure_trl if args.way == "trl" else measure_vigorl
        print(json.dumps(asdict(measure(args, folder))))
        return
    pythons = {"trl": args.trl}
    found: dict[str, list[Measured]] = {way: [] for way in WAYS}
    for number in range(args.rounds):
        for way in WAYS:
            found[way].append(Measured(**ask(way, "", python=pythons.get(way))))  # pyright: ignore
            print(number, way, found[way][-1], flush=True)
    ours = WAYS[:-1]
    print(f"| | {' | '.join((*WAYS, *(f'trl / {way}' for way in ours)))} |")
    print("|---" * (1 + len(WAYS) + len(ours)) + "|")
    for name in asdict(found["trl"][0]):
        values = {way: [getattr(one, name) for one in found[way]] for way in WAYS}
        cells = [f"{statistics.median(values[way]):.2f}" for way in WAYS]
        for way in ours:
            ratios = [b / a for a, b in zip(values[way], values["trl"], strict=True)]
            cells.append(f"{min(ratios):.2f} to {max(ratios):.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
