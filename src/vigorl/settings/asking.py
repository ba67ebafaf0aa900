"""Groups of the data, and of what is asked, answered, judged and searched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vigorl.core.ranges import (
    AtLeastOne,
    AtLeastTwo,
    BelowOne,
    Count,
    Finite,
    NotNegative,
    Positive,
    Seed,
    Share,
    ShareAboveZero,
)
from vigorl.settings.kinds import (
    FINITE,
    AnyText,
    Bytes,
    Flag,
    Group,
    Node,
    Plain,
    Side,
    Text,
    Texts,
    Tokens,
    Urls,
    says,
)
from vigorl.settings.learning import Limits, Teacher, VLLMLimits
from vigorl.settings.rewards import LISTED, RewardPart


class Prompt(Group):
    domain: Literal["general", "visual_search", "spatial", "web_grounding", "web_action"]
    form: Literal["tools", "reply", "think", "steps"]
    answer: AnyText | Node
    opening: AnyText
    is_brief: Flag


class Tool(Group):
    window_px: Side
    view_px: Side
    name: Text
    shown: AnyText


class Env(Plain):
    prompt: Prompt
    tools: list[Tool]
    markup: Node | None
    step_reply: AnyText
    limits: Limits
    temperature: NotNegative
    top_p: ShareAboveZero
    eval_temperature: NotNegative


class KitPrompt(Group):
    benchmark: Text


class Judging(Group):
    benchmark: Text
    thoughts: Flag


class Asked(Plain):
    """How an evaluation asks and judges."""

    judging: Judging
    prompt: KitPrompt | None


class Scene(Group):
    side_px: Side
    num_signs: AtLeastTwo
    has_near_miss: Flag
    near_miss_px: Annotated[
        list[Positive], Field(min_length=2, max_length=2), says("two distances above 0")
    ]
    num_clutter: Annotated[int, Field(strict=True, ge=0, le=10**5), says("0 to 100000")]
    num_occluders: Annotated[int, Field(strict=True, ge=0, le=10**5), says("0 to 100000")]
    margin_px: Side


class Mix(Group):
    zoom: NotNegative
    single_look: NotNegative
    ungrounded: NotNegative
    pointing: Flag
    zoom_system: AnyText
    single_look_system: AnyText
    ungrounded_system: AnyText


class Variant(Group):
    large_frac: Share
    context_salience: Share | None
    has_references: Flag
    follow_frac: Share
    max_items: AtLeastOne
    forms: Annotated[
        list[Literal["yes_no", "options", "open"]], Field(min_length=1), says("some of the forms")
    ]
    stops: Annotated[
        list[AtLeastTwo], Field(min_length=1), says("lengths of routes, each at least 2")
    ]
    num_bars: Annotated[
        list[AtLeastOne], Field(min_length=2, max_length=2), says("the fewest and the most bars")
    ]


class Proxy(Group):
    crop_frac: Annotated[
        list[ShareAboveZero], Field(min_length=2, max_length=2), says("two shares above 0")
    ]
    side_frac: ShareAboveZero
    max_extra: Count
    swaps: dict[str, Texts]


class Data(Group):
    root: Text
    proxy: Proxy
    pictures: Text | None
    captions: Text | None
    side_px: Side
    file: Text
    path: Text
    question: Text | None
    answer: Text | None
    image: AnyText | Texts | None
    options: AnyText | Texts | None
    boxes: AnyText | None
    id: AnyText | None
    category: AnyText | None
    split: AnyText | None
    answer_form: Literal["text", "letter", "index"] | None
    box_form: Literal["xyxy", "xywh"] | None
    seed: Seed
    num_train: Count
    num_val: Count
    num_test: Count
    num_traces: Count
    comparison_frac: Share
    photographs: Text | None
    view: Side
    scene: Scene
    variant: Variant
    teacher: Teacher
    mix: Mix
    tool: Tool | None
    scorer: Node | None
    read: Node
    trace_categories: Texts | None
    categories: Annotated[list[Text], Field(min_length=1), says("a list of names")] | None
    as_benchmark: Flag
    skip_bad_rows: Flag
    pictures_optional: Flag
    decode_pictures: Flag
    pictures_anywhere: Flag
    val_frac: BelowOne
    test_frac: BelowOne
    holdout_frac: BelowOne
    image_root: Text | None
    train_tasks: Text | None
    val_tasks: Text | None
    traces: Text | None
    form: Text
    option_seed: Seed
    name: Text
    download: Text
    download_name: Text
    base: Data


class Reward(Group):
    accuracy_weight: NotNegative
    format_weight: NotNegative
    diversity_weight: NotNegative
    require_points: Flag
    multi_turn: Flag
    max_zooms: AtLeastOne
    bonus: NotNegative
    target_rate: Share
    penalty: NotNegative
    free_looks: Count
    max_penalty: NotNegative
    only_if_correct: Flag
    turn_weight: NotNegative
    miss_price: NotNegative
    max_price: NotNegative
    name: Text
    parts: Annotated[dict[str, RewardPart | None], LISTED]
    weights: dict[str, Finite]


class Guard(Group):
    metric: Text
    below: NotNegative | None
    below_best_frac: Share | None
    patience: AtLeastOne
    action: Literal["warn", "switch", "stop"]
    reward: Reward | None


class Engine(VLLMLimits, Group):
    max_batch_size: AtLeastOne
    refill: Flag
    device: Text
    urls: Urls
    api: Literal["tokens", "chat"]
    transfer: Literal["shared_memory", "nccl", "ipc", "none"]
    adapters_only: Flag
    model: Text | None
    extra: Node | None
    api_key_env: Text | None
    bucket_bytes: Bytes
    shared_folder: Text
    transfer_address: Text | None
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=10**5), says("1 to 100000")]
    timeout_s: Positive
    max_attempts: AtLeastOne
    backoff_s: NotNegative
    max_backoff_s: NotNegative
    give_up_s: NotNegative
    max_images: AtLeastOne
    prefix_caching: Flag
    sleep_level: Annotated[int, Field(strict=True, ge=1, le=2), says("1, 2 or null")] | None
    quantization: Literal["fp8_per_tensor", "fp8_per_block"] | None
    tensor_parallel_size: AtLeastOne
    adapter_rank: Annotated[
        AtLeastOne | Literal["auto"] | None, says("a whole number from 1 on, auto or null")
    ]
    stop_strings: Texts


class Check(Group):
    urls: Urls
    model: Text
    api_key_env: Text | None
    extra: Node | None
    max_new_tokens: AtLeastOne
    max_side_px: Annotated[int, Field(strict=True, ge=64, le=10**5), says("64 to 100000 pixels")]
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=10**5), says("1 to 100000")]
    timeout_s: Positive
    max_attempts: AtLeastOne
    backoff_s: NotNegative
    max_backoff_s: NotNegative


class AnswerJudge(Group):
    urls: Urls
    model: Text
    api_key_env: Text | None
    cache: Text
    extra: Node | None
    max_new_tokens: AtLeastOne
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=10**5), says("1 to 100000")]
    timeout_s: Positive
    max_attempts: AtLeastOne
    backoff_s: NotNegative
    max_backoff_s: NotNegative


class ChatModel(AnswerJudge):
    section: Text


class Inference(Group):
    """Of a rule that asks another model; all else a rule states itself."""

    judge: ChatModel | None


class Checklist(Group):
    tag: Text


class Probe(Group):
    """Of those that another model answers; all others state their ranges themselves."""

    items: Checklist
    urls: Urls
    model: Text
    api_key_env: Text | None
    extra: Node | None
    prompt: Text
    max_new_tokens: AtLeastOne
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=10**5), says("1 to 100000")]
    timeout_s: Positive
    max_attempts: AtLeastOne
    backoff_s: NotNegative
    max_backoff_s: NotNegative


class Faithfulness(Group):
    every: AtLeastOne | None
    num_rollouts: AtLeastOne | None
    probes: dict[str, Probe]


class Signal(Group):
    margin: Annotated[float, FINITE, Field(ge=1), says("from 1 on")]
    top_frac: ShareAboveZero | None
    change: Literal["grey", "patches"]
    black_frac: ShareAboveZero | None


class Search(Group):
    num_simulations: AtLeastOne
    num_children: Count
    num_rollouts: AtLeastOne
    exploration: NotNegative
    num_retries: Count
    near_px: NotNegative
    solved_after: Count
    hopeless_after: Count
    until_right: Flag


class Budget(Group):
    max_tokens: Tokens | None
    max_requests: Tokens | None
    max_seconds: Positive | None


class ChainForm(Group):
    form: Literal["multi_turn", "single_turn", "rounds"]
    depth_root: Text | None
    max_looks: AtLeastOne
    move_first_frac: Share
    seed: Seed


class Filters(Group):
    max_turns: AtLeastOne | None
    max_length: AtLeastOne | None
    min_points: Count
    max_points: Count | None
    max_repeats: Count | None
    near_px: NotNegative
    keep_near_duplicates: Flag


class Picking(Group):
    max_per_tree: AtLeastOne
    corrected_frac: Share | None
    seed: Seed


class Chains(Plain):
    settings: ChainForm
    filters: Filters
    picking: Picking
