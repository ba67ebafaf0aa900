"""A model of any family with about 2 M parameters, made from nothing and saved as an ordinary
Hugging Face folder.

The architecture is transformers' own, only small; the folder holds config, safetensors, tokenizer
and image processor, so transformers and vLLM load it exactly like the 7B one. The tokenizer is a
byte-level BPE trained on the text it is made for (any other text falls back to bytes) with the
family's chat tokens; digits are single tokens, as in Qwen2.5. Two things keep the made world's
sequences short: merges may cross spaces, so fixed phrases of a trace become one token, and `atoms`
(sign names) are cut out before merging, so a name is the same token wherever it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AddedToken,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from vigorl.families.family import ChatLayout, TinySettings
from vigorl.families.lookup import family_named


def train_tokenizer(
    corpus: Iterable[str], *, chat: ChatLayout, vocab_size: int, atoms: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a family's control tokens.

    Args:
        corpus: Texts it should write in few tokens.
        chat: Whose control tokens come last.
        vocab_size: Upper bound, control tokens and the 256 bytes included.
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
        vocab_size=vocab_size - len(chat.controls),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in chat.controls]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=chat.end,
        pad_token=chat.pad,
        extra_special_tokens=dict(chat.names) or list(chat.controls),
        clean_up_tokenization_spaces=False,
    )


def make_tiny(
    folder: Path,
    *,
    corpus: Iterable[str],
    atoms: Sequence[str] = (),
    settings: TinySettings | None = None,
    seed: int = 0,
) -> Path:
    """Write a randomly initialised tiny model to a Hugging Face folder and return it."""
    settings = settings or TinySettings()
    family = family_named(settings.model_type, where="TinySettings")
    tokenizer = train_tokenizer(
        corpus, chat=family.chat, vocab_size=settings.vocab_size, atoms=atoms
    )
    ids = {token: tokenizer.vocab[token] for token in family.chat.controls}
    model = _random_model(family.tiny_config(settings, ids, len(tokenizer)), seed=seed)
    assert model.generation_config is not None
    ends = [ids[token] for token in family.chat.ends]
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    family.tiny_processor(settings).save_pretrained(folder)
    for name, content in family.tiny_files(settings).items():
        (folder / name).write_text(json.dumps(content))
    return folder


def untrained_copy(source: str, folder: str, *, seed: int) -> str:
    """A model folder's architecture, tokenizer and image processor with random weights; returns
    `folder`.
    """
    _random_model(AutoConfig.from_pretrained(source), seed=seed).save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(source).save_pretrained(folder)
    AutoImageProcessor.from_pretrained(source, backend="pil").save_pretrained(folder)
    return folder


def _random_model(config: object, *, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForImageTextToText.from_config(config)
