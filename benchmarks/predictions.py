"""What `core.cost` says of runs that others have timed, beside what they say.

    python benchmarks/predictions.py

Prints the tables of docs/cost.md. What a source does not say is a guess that is printed beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from vigorl.core.cost import Achieved, ModelCost, Prediction, Workload, predict
from vigorl.core.devices import DEVICES, Device
from vigorl.core.flops import Load, picture_load
from vigorl.diagnosis.plan import PIXEL_S, model_cost
from vigorl.models.model_size import meta_policy

# config.json of the released checkpoints
_VISION = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
    "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
TEXTS: dict[str, dict[str, Any]] = {
    "3B": {"hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16,
           "num_key_value_heads": 2, "intermediate_size": 11008, "vocab_size": 151936},
    "7B": {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064},
}  # fmt: skip
DEVICE = {one.name: one for one in DEVICES}
WINDOW = 8


@lru_cache
def model(size: str) -> ModelCost:
    """Of Qwen2.5-VL, tower frozen."""
    text = TEXTS[size]
    config = {
        "model_type": "qwen2_5_vl", "tie_word_embeddings": size == "3B", "text_config": text,
        "vision_config": _VISION | {"out_hidden_size": text["hidden_size"]},
    }  # fmt: skip
    return model_cost(meta_policy(config), engine_bytes=2)


def picture(num_pixels: int) -> Load:
    """Of a square picture."""
    side = round(num_pixels**0.5 / 28) * 2
    return picture_load([(1, side, side)], window=WINDOW)


@dataclass(frozen=True)
class Published:
    """A run that somebody has timed.

    Attributes:
        name: Whose, and where it is said.
        seconds: Of a step, from and to.
        size: Of the model.
        device: Which; `num_devices` of them.
        work: As far as it is known.
        guessed: What of it is not.
        achieved: Of the devices, where it is said.
    """

    name: str
    seconds: tuple[float, float]
    size: str
    device: Device
    work: Workload
    guessed: str
    num_devices: int = 8
    achieved: Achieved = field(default_factory=Achieved)

    def predicted(self, work: Workload | None = None) -> Prediction:
        return predict(
            model(self.size), work or self.work, self.device,
            num_devices=self.num_devices, achieved=self.achieved,
        )  # fmt: skip


# the released code: 128 x 8 rollouts, pictures of 2.85 million pixels, crops of 672 x 672, rows
# padded to 4096 + 2048, the tower in each pass, logits everywhere, 16 updates, a turn barrier, old
# and reference logprobs
VIGORL = Workload(
    prompts=128, group_size=8, turns=3.0, longest_turns=5, turn_tokens=120,
    longest_turn_tokens=1024, longest_tokens=2048, text_tokens=700,
    picture=picture(2_850_000), crop=picture(672 * 672),
    updates=16, micro_batch_size=2, reads=2, row_tokens=6144, scores_all=True,
    shares_prompts=False, keeps_features=False, has_turn_barrier=True, zero_stage=3,
)  # fmt: skip
GUESS = "turns (3), tokens a turn (120); driver's Python not counted"
# 512 prompts x 5; of its 2000 tokens a second and GPU follow 750 a rollout
EASYR1 = Workload(
    prompts=512, group_size=5, turns=1, longest_turns=1, turn_tokens=400,
    longest_turn_tokens=2048, longest_tokens=2048, text_tokens=150,
    picture=picture(400 * 400), crop=Load(),
    updates=4, micro_batch_size=4, reads=2, zero_stage=3, keeps_features=False,
)  # fmt: skip
# 6.43 million tokens in all: 256 x 16 rollouts of 1,570
DEEPEYES = Workload(
    prompts=256, group_size=16, turns=2, longest_turns=6, turn_tokens=150,
    longest_turn_tokens=1024, longest_tokens=4096, text_tokens=400,
    picture=picture(600 * 600), crop=picture(500 * 500),
    updates=1, micro_batch_size=1, reads=1, zero_stage=3, keeps_features=False,
)  # fmt: skip
VIGORL_SAYS, EASYR1_SAYS, DEEPEYES_SAYS = (
    "ViGoRL, multi-turn (grounded-rl #24)", "EasyR1, Geo3K (assets/baselines.md)",
    "DeepEyes, one node (DeepEyes #14)",
)  # fmt: skip
RUNS = (
    Published(VIGORL_SAYS, (470, 510), "3B", DEVICE["a100"], VIGORL, f"size, {GUESS}"),
    Published(VIGORL_SAYS, (470, 510), "7B", DEVICE["a100"], VIGORL, "the same"),
    Published(
        EASYR1_SAYS, (120, 120), "7B", DEVICE["h100"], EASYR1, "400 px, 400 of 750 tokens sampled",
        achieved=Achieved(update=0.232 * 4 / 3),  # says so: MFU 23.2 %
    ),
    Published(
        EASYR1_SAYS, (120, 120), "3B", DEVICE["h100"], EASYR1, "the same",
        achieved=Achieved(update=0.081 * 4 / 3),  # MFU 8.1 %
    ),
    Published(
        DEEPEYES_SAYS, (2142, 2142), "7B", DEVICE["a100"], DEEPEYES,
        "the GPU, turns, tokens a turn, pictures",
    ),
    Published(DEEPEYES_SAYS, (2142, 2142), "7B", DEVICE["h100"], DEEPEYES, "the same"),
)  # fmt: skip


def main() -> None:
    print("| run | model | 8 x | published, s | predicted, s | ratio | most of it | guessed |")
    print("|---|---|---|---|---|---|---|---|")
    for run in RUNS:
        found, (low, high) = run.predicted(), run.seconds
        said = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        print(
            f"| {run.name} | {run.size} | {run.device.name} | {said} | {found.seconds:.0f} | "
            f"{found.seconds / ((low + high) / 2):.2f} | {found.longest.name}, "
            f"{found.longest.bound} | {run.guessed} |"
        )
    for run in RUNS:
        show(f"{run.name}, {run.size}, {run.device.name}", run.predicted())
    ours = replace(
        VIGORL, row_tokens=None, scores_all=False, shares_prompts=True, keeps_features=True,
        has_turn_barrier=False, updates=2, tool_s=672**2 * PIXEL_S, rollout_s=0.02,
    )  # fmt: skip
    shared = replace(ours, shares_prefix=True, micro_batch_size=VIGORL.group_size)
    small = {"picture": picture(640 * 480)}
    show("ViGoRL, pictures of 640 x 480, 3B, a100", RUNS[0].predicted(replace(VIGORL, **small)))
    for run in (*RUNS[:2], replace(RUNS[1], device=DEVICE["h100"])):
        for name, work in (
            ("", ours),
            (" with model.shared_prefix and a group in a row", shared),
            (" and no checkpointing", replace(shared, is_checkpointed=False)),
            (" and pictures of 640 x 480", replace(shared, is_checkpointed=False, **small)),
        ):
            show(f"vigorl, the same work{name}, {run.size} {run.device.name}", run.predicted(work))


def show(name: str, found: Prediction) -> None:
    parts = ", ".join(f"{part.name} {part.seconds:.1f}" for part in found.parts if part.seconds > 1)
    print(f"\n{name}: {found.seconds:.0f} s, {found.tokens / 1e6:.2f} M tokens a pass; {parts}")


if __name__ == "__main__":
    main()
