"""A Qwen2.5-VL of about 2 M parameters, made from nothing and saved as an ordinary Hugging Face
folder.

The architecture is transformers' own `Qwen2_5_VLForConditionalGeneration`, only small; the folder
holds config, safetensors, tokenizer and image processor, so transformers and vLLM load it exactly
like the 7B one. The tokenizer is a byte-level BPE trained on the text it is made for (any other
text falls back to bytes) with Qwen's chat tokens; digits are single tokens, as in Qwen2.5. Two
things keep the made world's sequences short: merges may cross spaces, so fixed phrases of a trace
become one token, and `atoms` (sign names) are cut out before merging, so a name is the same token
wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AddedToken,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TinySettings:
    """Sizes of the tiny model.

    Attributes:
        vocab_size: BPE vocabulary at most, special tokens included.
        hidden: Width of the language part; heads are 32 wide (what vLLM's CPU attention takes).
        layers: Depth of the language part.
        ffn: Inner width of its MLP.
        vision_hidden: Width of the vision tower; heads are 32 wide.
        vision_depth: Depth of the tower; every layer sees the whole picture.
        max_pixels: A whole picture is shown with at most this many pixels (112 x 112 = 16 image
            tokens).
        min_pixels: And with at least this many.
        max_positions: Longest sequence.
    """

    vocab_size: int = 1024
    hidden: int = 192
    layers: int = 4
    ffn: int = 256
    vision_hidden: int = 128
    vision_depth: int = 3
    max_pixels: int = 112 * 112
    min_pixels: int = 56 * 56
    max_positions: int = 4096


def train_tokenizer(
    corpus: Iterable[str], *, vocab_size: int, atoms: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A byte-level BPE with Qwen's special tokens.

    Args:
        corpus: Texts it should write in few tokens.
        vocab_size: Upper bound, special tokens and the 256 bytes included.
        atoms: Phrases that are never merged with what stands around them.
    """
    tokenizer = Tokenizer(models.BPE())
    steps: list[pre_tokenizers.PreTokenizer] = [pre_tokenizers.Digits(individual_digits=True)]
    if atoms:
        pattern = " ?(?:" + "|".join(sorted(atoms, key=len, reverse=True)) + ")"
        steps.append(pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        clean_up_tokenization_spaces=False,
    )


def tiny_config(tokenizer: PreTrainedTokenizerFast, settings: TinySettings) -> Qwen2_5_VLConfig:
    """The ordinary Qwen2.5-VL config with small numbers."""
    ids = {token: tokenizer.vocab[token] for token in SPECIAL_TOKENS}
    heads = settings.hidden // 32
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": settings.hidden,
            "intermediate_size": settings.ffn,
            "num_hidden_layers": settings.layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "max_position_embeddings": settings.max_positions,
            "tie_word_embeddings": True,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [4, 6, 6],
            },
        },
        vision_config={
            "depth": settings.vision_depth,
            "hidden_size": settings.vision_hidden,
            "intermediate_size": 2 * settings.vision_hidden,
            "num_heads": settings.vision_hidden // 32,
            "out_hidden_size": settings.hidden,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": list(range(settings.vision_depth)),
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def make_tiny(
    folder: Path,
    *,
    corpus: Iterable[str],
    atoms: Sequence[str] = (),
    settings: TinySettings | None = None,
    seed: int = 0,
) -> Path:
    """Write a randomly initialised tiny Qwen2.5-VL to a Hugging Face folder and return it."""
    settings = settings or TinySettings()
    tokenizer = train_tokenizer(corpus, vocab_size=settings.vocab_size, atoms=atoms)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(tiny_config(tokenizer, settings))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": settings.min_pixels, "longest_edge": settings.max_pixels},
        patch_size=14, merge_size=2, temporal_patch_size=2,
    )  # fmt: skip
    processor.save_pretrained(folder)
    return folder


def untrained_copy(source: str, folder: str, *, seed: int) -> str:
    """A model folder's architecture, tokenizer and image processor with random weights; returns
    `folder`.
    """
    config = Qwen2_5_VLConfig.from_pretrained(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(source).save_pretrained(folder)
    Qwen2VLImageProcessorPil.from_pretrained(source).save_pretrained(folder)
    return folder
