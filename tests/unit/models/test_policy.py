from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.unit.models.small import (
    FAMILIES,
    IMAGE,
    assert_same_grads,
    grads,
    make_batch,
    make_model,
    make_policy,
    patch_of,
    save_folder,
)
from vigorl.core.errors import AlignmentError, ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.models import logprobs
from vigorl.models.lora import LoraSettings, lora_layers
from vigorl.models.losses import sft_loss
from vigorl.models.policy import Policy
from vigorl.models.pretrained import cast_weights

TWO_PICTURES = [(4, 4), (2, 4)]


def plain_logprobs(policy: Policy, batch: TrainingBatch, **settings: object) -> Tensor:
    """What transformers itself says: all logits of its own forward pass, one log-softmax."""
    logits = policy.model(
        input_ids=batch.input_ids,
        pixel_values=batch.pixel_values,
        image_grid_thw=batch.image_grid_thw,
        attention_mask=batch.attention_mask,
        mm_token_type_ids=(batch.input_ids == IMAGE).int(),
        use_cache=False,
    ).logits.float()
    logprobs = logits[:, :-1].log_softmax(-1).gather(-1, batch.input_ids[:, 1:, None])[..., 0]
    logprobs = torch.nn.functional.pad(logprobs, (1, 0))
    return torch.where(batch.loss_mask, logprobs, 0.0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_are_those_of_a_plain_forward_pass(family: str, side: str) -> None:
    policy = make_policy(family)
    batch = make_batch(
        TWO_PICTURES, [(4, 2)], [(2, 2), (4, 4), (6, 4)], side=side, patch=patch_of(family)
    )
    logprobs, entropy = policy.response_logprobs(batch)
    assert entropy is None
    torch.testing.assert_close(logprobs, plain_logprobs(policy, batch), atol=1e-5, rtol=1e-5)
    assert (logprobs[~batch.loss_mask] == 0).all()
    assert (logprobs[batch.loss_mask] < 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_side_and_company_change_nothing(family: str) -> None:
    policy, patch = make_policy(family), patch_of(family)
    scored = []
    for side in ("left", "right"):
        batch = make_batch(TWO_PICTURES, [(4, 2)], side=side, patch=patch)
        scored.append(policy.response_logprobs(batch)[0][batch.loss_mask])
    alone = make_batch(TWO_PICTURES, patch=patch)
    lone = policy.response_logprobs(alone)[0][alone.loss_mask]
    torch.testing.assert_close(scored[0], scored[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scored[0][:6], lone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_given_features_equal_computed_ones_and_pictures_matter(family: str) -> None:
    policy = make_policy(family)
    batch = make_batch(TWO_PICTURES, [(4, 2)], patch=patch_of(family))
    assert batch.pixel_values is not None
    views = policy.encode_views(batch.pixel_values, batch.image_grid_thw)
    assert [tuple(view.shape) for view in views] == [
        (4, policy.feature_width), (2, policy.feature_width), (2, policy.feature_width)
    ]  # fmt: skip
    direct, _ = policy.response_logprobs(batch)
    blind = replace(batch, pixel_values=None)
    given, _ = policy.response_logprobs(blind, features=torch.cat(views))
    torch.testing.assert_close(given, direct, atol=0, rtol=0)
    swapped, _ = policy.response_logprobs(blind, features=torch.cat(views).flip(0))
    assert (swapped - direct).abs().max() > 1e-4


def test_every_deepstack_level_reaches_the_language_model() -> None:
    policy = make_policy("qwen3_vl")
    assert policy.feature_width == 3 * 64
    batch = make_batch([(4, 4)], patch=16)
    assert batch.pixel_values is not None
    (features,) = policy.encode_views(batch.pixel_values, batch.image_grid_thw)
    direct = policy(batch, features)
    for level in range(3):
        changed = features.clone()
        changed[:, 64 * level : 64 * (level + 1)] = 0
        assert (policy(batch, changed) - direct).abs().max() > 1e-4, level


def test_chunks_change_neither_values_nor_gradients() -> None:
    policy = make_policy(freeze_vision_tower=False)
    batch = make_batch(TWO_PICTURES, [(4, 2)])

    def run(**settings: object) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        logprobs, entropy = policy.response_logprobs(batch, with_entropy=True, **settings)
        sft_loss(logprobs, batch.loss_mask, batch.token_weight).loss.backward()
        return logprobs.detach(), entropy, grads(policy)

    whole = run(chunk_tokens=1000)
    for chunk_tokens in (1, 4):
        logprobs, entropy, found = run(chunk_tokens=chunk_tokens)
        torch.testing.assert_close(logprobs, whole[0], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(entropy, whole[1], atol=1e-6, rtol=1e-6)
        assert_same_grads(found, whole[2])
    plain = plain_logprobs(policy, batch)  # whose logits are not computed again
    sft_loss(plain, batch.loss_mask, batch.token_weight).loss.backward()
    assert_same_grads(grads(policy), whole[2])
    assert "model.model.visual.patch_embed.proj.weight" in whole[2]


def test_only_positions_before_a_scored_token_reach_the_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    score = logprobs._Scoring.logits

    def counted(self: logprobs._Scoring, states: Tensor, *args: Tensor, **room: Tensor) -> Tensor:
        sizes.append(len(states))
        return score(self, states, *args, **room)

    monkeypatch.setattr(logprobs._Scoring, "logits", counted)
    policy = make_policy()
    calls: list[int] = []
    policy.model.lm_head.register_forward_hook(lambda *_: calls.append(1))
    scored, _ = policy.response_logprobs(
        make_batch(TWO_PICTURES, [(4, 2)]), chunk_tokens=4
    )  # 3 pictures x 3 scored tokens
    assert sizes == [4, 4, 1]
    scored.sum().backward()
    assert sorted(sizes) == [1, 1, 4, 4, 4, 4]  # computed again, chunk by chunk
    assert calls == [1]


def test_temperature_banned_ids_and_entropy_follow_their_formulas() -> None:
    policy = make_policy()
    batch = make_batch(TWO_PICTURES)
    hidden = policy(batch)
    logits = policy.model.lm_head(hidden)[0, :-1].float() / 0.5
    logits[:, [IMAGE, 11]] = -torch.inf
    dist = torch.distributions.Categorical(logits=logits)
    mask = batch.loss_mask[0]
    found, entropy = policy.response_logprobs(
        batch, temperature=0.5, banned_ids=(IMAGE, 11), with_entropy=True
    )
    expected = dist.log_prob(batch.input_ids[0, 1:])[mask[1:]]
    torch.testing.assert_close(found[0, mask], expected, atol=1e-5, rtol=1e-5)
    probs = dist.probs
    wanted = -(probs * probs.clamp(min=1e-30).log()).sum(-1)[mask[1:]]
    assert entropy is not None
    assert not entropy.requires_grad
    torch.testing.assert_close(entropy[0, mask], wanted, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_scored_is_refused() -> None:
    policy = make_policy()
    batch = make_batch([(4, 4)])
    with pytest.raises(AlignmentError, match="row 0, token 7: id 6 is banned"):
        policy.response_logprobs(batch, banned_ids=(6,))
    with pytest.raises(AlignmentError, match=r"row 0, token 0: .* nothing stands before"):
        policy.response_logprobs(replace(batch, loss_mask=torch.ones_like(batch.loss_mask)))
    with pytest.raises(ConfigError, match="temperature=0"):
        policy.response_logprobs(batch, temperature=0.0)


def test_mismatch_between_placeholders_and_pictures_names_the_picture() -> None:
    policy = make_policy()
    batch = make_batch(TWO_PICTURES, [(4, 2)])
    grid = batch.image_grid_thw.clone()
    grid[2] = torch.tensor([1, 4, 4])
    with pytest.raises(AlignmentError, match=r"picture 2 \(row 1, 2.png\) has 2 .* makes 4"):
        policy(replace(batch, image_grid_thw=grid), torch.zeros(10, 64))
    with pytest.raises(AlignmentError, match="8 image tokens in input_ids, but features of shape"):
        policy(batch, torch.zeros(7, 64))
    with pytest.raises(AlignmentError, match="3 runs of placeholders in input_ids, but 2 pictures"):
        policy(replace(batch, image_grid_thw=batch.image_grid_thw[:2]), torch.zeros(6, 64))
    with pytest.raises(AlignmentError, match="neither pixels nor features"):
        policy(replace(batch, pixel_values=None))


def test_a_placeholder_written_by_the_policy_is_noticed() -> None:
    batch = make_batch([(4, 4)])
    ids = batch.input_ids.clone()
    ids[0, -1] = IMAGE
    with pytest.raises(AlignmentError, match="2 runs of placeholders in input_ids, but 1 pictures"):
        make_policy()(replace(batch, input_ids=ids))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_batch_without_pictures_still_calls_the_tower(frozen: bool) -> None:
    policy = make_policy(freeze_vision_tower=frozen)
    calls: list[int] = []
    policy.model.model.visual.register_forward_hook(lambda *_: calls.append(1))
    batch = make_batch([], [])
    logprobs, _ = policy.response_logprobs(batch)
    assert calls == [1]
    logprobs.sum().backward()
    tower_grad = policy.model.model.visual.patch_embed.proj.weight.grad
    assert tower_grad is None if frozen else bool((tower_grad == 0).all())
    logits = policy.model(input_ids=batch.input_ids).logits
    expected = logits[:, :-1].log_softmax(-1).gather(-1, batch.input_ids[:, 1:, None])[..., 0]
    mask = batch.loss_mask
    torch.testing.assert_close(logprobs[mask], expected[mask[:, 1:]], atol=1e-5, rtol=1e-5)


def test_a_batch_without_scored_tokens_still_reaches_every_weight() -> None:
    policy = make_policy()
    batch = make_batch([(4, 4)])
    nothing = replace(batch, loss_mask=torch.zeros_like(batch.loss_mask))
    policy.response_logprobs(nothing)[0].sum().backward()
    found = grads(policy)
    trained = {name for name, weight in policy.named_parameters() if weight.requires_grad}
    assert found.keys() == trained
    assert all(bool((grad == 0).all()) for grad in found.values())


@pytest.mark.parametrize(
    ("settings", "tower", "merger"),
    [
        ({}, False, False),
        ({"freeze_merger": False}, False, True),
        ({"freeze_merger": False, "freeze_language_model": True}, False, True),
        ({"freeze_vision_tower": False}, True, True),
        ({"freeze_vision_tower": False, "freeze_merger": True}, True, False),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_frozen_gets_no_gradient(
    family: str, settings: dict[str, bool], tower: bool, merger: bool
) -> None:
    policy = make_policy(family, **settings)
    batch = make_batch(TWO_PICTURES, patch=patch_of(family))
    policy.response_logprobs(batch)[0].sum().backward()
    found = grads(policy).keys()
    assert any("visual.blocks" in name for name in found) is tower
    parts = ("merger", "downsample", "post_layernorm") if family == "glm4v" else ("merger",)
    for part in parts:
        assert any(f"visual.{part}" in name for name in found) is merger
    is_whole = not settings.get("freeze_language_model")
    assert any("language_model" in name for name in found) is is_whole
    assert policy.is_vision_frozen is not (tower or merger)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    found = []
    for checkpointing in (False, True):
        policy = make_policy(freeze_vision_tower=False, gradient_checkpointing=checkpointing)
        policy.train()
        calls: list[int] = []
        layer = policy.model.model.language_model.layers[0].self_attn
        layer.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        policy.response_logprobs(make_batch(TWO_PICTURES, [(4, 2)]))[0].sum().backward()
        assert len(calls) == 1 + checkpointing
        found.append(grads(policy))
    assert_same_grads(*found)


def test_lora_trains_only_adapters_and_is_its_own_reference() -> None:
    plain, batch = make_policy(), make_batch(TWO_PICTURES)
    policy = make_policy(lora=LoraSettings(rank=2, target_modules=("q_proj", "down_proj")))
    assert len(lora_layers(policy.model)) == 4  # 2 layers x 2 names, none in the vision tower
    assert all(
        "lora_" in name for name, weight in policy.named_parameters() if weight.requires_grad
    )
    with torch.no_grad():
        before, _ = plain.response_logprobs(batch)
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_()
        trained, _ = policy.response_logprobs(batch)
        with policy.as_reference():
            reference, _ = policy.response_logprobs(batch)
        again, _ = policy.response_logprobs(batch)
    assert (trained - before).abs().max() > 1e-2
    torch.testing.assert_close(reference, before, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(again, trained, atol=0, rtol=0)


def test_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="lora only the adapters learn"):
        make_policy(lora=LoraSettings(), freeze_vision_tower=False)
    with pytest.raises(ConfigError, match="lora only the adapters learn"):
        make_policy(lora=LoraSettings(), freeze_merger=False)
    with pytest.raises(ConfigError, match=r"freeze_language_model=true leaves nothing to learn"):
        make_policy(freeze_language_model=True)
    with pytest.raises(ConfigError, match=r"lora\.target_modules=.*no_such_proj"):
        make_policy(lora=LoraSettings(target_modules=("no_such_proj",)))
    with pytest.raises(ConfigError, match="without lora"), make_policy().as_reference():
        pass


def test_from_pretrained_takes_its_settings_from_the_call(tmp_path) -> None:
    save_folder(tmp_path)
    policy = Policy.from_pretrained(tmp_path, dtype="bfloat16", freeze_merger=False)
    assert policy.dtype is torch.bfloat16
    assert not policy.is_vision_frozen
    assert policy.source == tmp_path
    assert policy.model.config._attn_implementation == "sdpa"


def test_weights_are_cast_and_rotary_frequencies_are_not() -> None:
    policy = make_policy()
    frequencies = {name: buffer.clone() for name, buffer in policy.named_buffers()}
    cast_weights(policy, torch.bfloat16)
    assert {weight.dtype for weight in policy.parameters()} == {torch.bfloat16}
    assert any("inv_freq" in name for name in frequencies)
    assert all(torch.equal(frequencies[name], buffer) for name, buffer in policy.named_buffers())


def test_adapters_are_float32_beside_bfloat16_weights() -> None:
    model = make_model().to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    policy = Policy(model, lora=LoraSettings(rank=2))
    assert {w.dtype for w in policy.parameters() if w.requires_grad} == {torch.float32}
    logprobs, _ = policy.response_logprobs(make_batch([(4, 4)]))
    logprobs.sum().backward()
    assert policy.dtype is torch.bfloat16


def test_what_attention_costs_follows_from_the_models_sizes() -> None:
    # a layer: 64 x 64 (q), 64 x 32 (k), (v), 64 x 64 (o) and 3 x 64 x 96; heads 64 wide together
    assert make_policy().attention_cost == pytest.approx(64 / (12288 + 18432))
    # one of Qwen3.5's four layers has keys and values
    hybrid = make_policy("qwen3_5")
    layers = hybrid.model.model.language_model.layers  # pyright: ignore[reportAttributeAccessIssue]
    weights = sum(w.numel() for w in layers.parameters() if w.ndim == 2)
    assert hybrid.attention_cost == pytest.approx(64 / weights)
