"""The policy: a model that turns a `TrainingBatch` into log-probabilities of its tokens.

Three steps, each of which can be had alone: `encode_views` (vision tower and merger), `forward`
(language model over text and features), `response_logprobs` (output head, only where tokens are
learned from). Features can come from a `VisionCache`.

Positions, the merging of features into the text and deepstack are the transformers model's own
code, which its family (`families/`) knows how to call. Left out: video, quantised weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from vigorl.core.errors import AlignmentError, ConfigError
from vigorl.data.collate import TrainingBatch
from vigorl.families.family import Family
from vigorl.families.loading import load_model
from vigorl.families.lookup import family_named
from vigorl.models.context_parallel import (
    ContextGroup,
    SplitRow,
    context_group,
    prepare_context,
)
from vigorl.models.liger_head import check_liger
from vigorl.models.logprobs import ScoringHead, Targets, chosen_logprobs
from vigorl.models.lora import LoraSettings, adapters_off, add_lora
from vigorl.models.packing import Packing, prepare
from vigorl.models.pretrained import (
    check_folder,
    find_folder,
    freeze_parts,
    parse_dtype,
    write_folder,
)
from vigorl.models.shared_prefix import SharedPacking, encode_once, prepare_sharing
from vigorl.models.weight_export import export_weights

Places = tuple[Int[Tensor, " n"], Int[Tensor, " n"]]  # rows and columns of tokens in a batch


class Policy(nn.Module):
    """A model of a supported family, as the trainer needs it.

    Attributes:
        model: The transformers model (`...ForConditionalGeneration`).
        family: What is particular to it.
        source: The folder it was loaded from, or None; tokenizer and image processor are copied
            from there.
        lora: The adapters it carries, or None.
        context: The processes with which it reads the rows of an update; None: it reads alone.
        attention_cost: What a sequence's attention takes, by its length, as a share of what the
            language model's linear layers take for a token: a sequence of L tokens costs
            L (1 + attention_cost L) of them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        source: Path | None = None,
        freeze_vision_tower: bool = True,
        freeze_merger: bool | None = None,
        freeze_language_model: bool = False,
        gradient_checkpointing: bool = False,
        packing: bool = False,
        shared_prefix: bool = False,
        context_parallel: int = 1,
        head: Literal["tiles", "liger"] = "tiles",
        lora: LoraSettings | None = None,
    ) -> None:
        """Wrap a model in place; the settings are those of `from_pretrained`."""
        super().__init__()
        if lora is not None and not (freeze_vision_tower and freeze_merger in (None, True)):
            raise ConfigError("with lora only the adapters learn: leave the vision side frozen")
        is_merger_frozen = freeze_vision_tower if freeze_merger is None else freeze_merger
        is_vision_frozen = freeze_vision_tower and is_merger_frozen
        if freeze_language_model and (lora is not None or is_vision_frozen):
            raise ConfigError(
                "model.freeze_language_model=true leaves nothing to learn: set "
                "model.freeze_merger=false or model.freeze_vision_tower=false, and model.lora=null"
            )
        self.model, self.source, self.lora = model, source, lora
        self.family = family_named(model.config.model_type, where=type(model).__name__)
        freeze_parts(
            model,
            self.family,
            is_tower_frozen=freeze_vision_tower,
            is_merger_frozen=is_merger_frozen,
            is_language_model_frozen=freeze_language_model,
        )
        if shared_prefix and not packing:
            raise ConfigError("model.shared_prefix=true needs model.packing=true")
        if context_parallel > 1 and not packing:
            raise ConfigError("model.context_parallel above 1 needs model.packing=true")
        self.attention_cost = _attention_cost(model, self.family)
        if head == "liger":
            check_liger()
        model.lm_head = ScoringHead.from_linear(
            model.lm_head,  # pyright: ignore[reportArgumentType]
            by_liger=head == "liger",
        )
        if packing:
            prepare(model, self.family)
        if shared_prefix:
            prepare_sharing(model, self.family)
        self.packing, self.shared_prefix = packing, shared_prefix
        self.context = context_group(context_parallel) if context_parallel > 1 else None
        if self.context is not None:
            prepare_context(model, self.family, self.context)
        if lora is not None:
            add_lora(model, lora, family=self.family)
        if gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})

    @classmethod
    def from_pretrained(
        cls,
        folder_or_id: str | Path,
        *,
        dtype: torch.dtype | str,
        attn_implementation: str = "sdpa",
        freeze_vision_tower: bool = True,
        freeze_merger: bool | None = None,
        freeze_language_model: bool = False,
        gradient_checkpointing: bool = False,
        packing: bool = False,
        shared_prefix: bool = False,
        context_parallel: int = 1,
        head: Literal["tiles", "liger"] = "tiles",
        lora: LoraSettings | None = None,
    ) -> Policy:
        """Load a policy.

        Args:
            folder_or_id: A Hugging Face folder, or "owner/name" on the hub.
            dtype: Of all weights, such as "bfloat16".
            attn_implementation: What transformers computes attention with.
            freeze_vision_tower: The tower does not learn (ViGoRL).
            freeze_merger: The projector from tower to language model does not learn; None follows
                the tower, as in the released trainer, where the merger is part of the module that
                is frozen.
            freeze_language_model: The language model, its embeddings and its head do not learn.
            gradient_checkpointing: Compute layers again in the backward pass, when in training
                mode.
            packing: The language model reads the sequences of a batch in one row, without their
                padding (`models.packing`).
            shared_prefix: And what several of them begin with once (`models.shared_prefix`).
            context_parallel: Processes that read a row together (`models.context_parallel`).
            head: What scores tokens: `models.logprobs`, or the kernel of `models.liger_head`.
            lora: Train adapters instead of the weights.
        Raises:
            ConfigError: No such folder, not a supported family, weights missing, or settings that
                exclude each other.
        """
        folder = find_folder(folder_or_id)
        check_folder(folder)
        model = load_model(
            folder, dtype=parse_dtype(dtype), attn_implementation=attn_implementation
        )
        return cls(
            model,
            source=folder,
            freeze_vision_tower=freeze_vision_tower,
            freeze_merger=freeze_merger,
            freeze_language_model=freeze_language_model,
            gradient_checkpointing=gradient_checkpointing,
            packing=packing,
            shared_prefix=shared_prefix,
            context_parallel=context_parallel,
            head=head,
            lora=lora,
        )

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def image_token_id(self) -> int:
        """The picture placeholder."""
        return self.model.config.image_token_id

    @property
    def is_vision_frozen(self) -> bool:
        """Whether neither tower nor merger learns, so that features can be reused."""
        return not any(
            weight.requires_grad for weight in self.family.tower(self.model).parameters()
        )

    @property
    def reading_group(self) -> ContextGroup | None:
        """With whom it reads rows now."""
        return self.context if self.context is not None and self.context.is_reading else None

    @property
    def has_dropout(self) -> bool:
        """Whether a forward pass in training mode is that of another policy than an engine has."""
        rates = [m.p for m in self.model.modules() if isinstance(m, nn.Dropout)]
        return any((*rates, self.model.config.get_text_config().to_dict().get("attention_dropout")))

    @property
    def feature_width(self) -> int:
        """Numbers per image token: the hidden size, and again per deepstack level."""
        return self.family.feature_width(self.model.config)

    def encode_views(
        self,
        pixel_values: Float[Tensor, "pieces ..."],
        grid_thw: Int[Tensor, "images 3"],
    ) -> list[Float[Tensor, "_ width"]]:
        """Features of pictures, in one call of the tower; with gradient only where it learns.

        Args:
            pixel_values: The image processor's patches or tiles of all pictures.
            grid_thw: Per picture its pieces, and patch rows and columns of each.
        Returns:
            [tokens, feature_width] per picture.
        """
        return self._encode(pixel_values, grid_thw)

    def encode_blank(self) -> Float[Tensor, "_ width"]:
        """Run the tower on the smallest picture: a rank that has none keeps step with the rest."""
        return self.encode_views(*self.family.blank(self.model.config))[0]

    def _encode(self, pixel_values: Tensor, grid_thw: Tensor) -> list[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_vision_frozen):
            return self.family.encode(
                self.model, pixel_values.to(self.device), grid_thw.to(self.device)
            )

    def forward(
        self,
        batch: TrainingBatch,
        features: Float[Tensor, "image_tokens width"] | None = None,
        *,
        at: Places | None = None,
    ) -> Float[Tensor, "*places hidden"]:
        """Last hidden states of the language model, after its final norm.

        Args:
            batch: Padding may be on either side.
            features: Of all pictures in placeholder order; None computes them from
                `batch.pixel_values`.
            at: Rows and columns of the tokens whose states are wanted. A packed row gives these
                without being spread over [batch, tokens], which no budget of tokens bounds.
        Returns:
            [batch, tokens, hidden]; with `at` [n, hidden].
        Raises:
            AlignmentError: Placeholders, grids and features do not match; says which picture.
        """
        unused = None
        if features is None and batch.pixel_values is not None:
            features = self._features(batch, batch.pixel_values)
        elif features is None:
            if len(batch.image_grid_thw):
                raise AlignmentError("the batch has pictures, but neither pixels nor features")
            unused = self._encode(*self.family.blank(self.model.config))[0]
            features = unused[:0]
        self._check_image_tokens(batch, features)
        read = self._read_packed if self.packing else self._read
        with nullcontext() if unused is None else self._embedding_beside(unused):
            return read(batch, features, at)

    @contextmanager
    def _embedding_beside(self, unused: Tensor) -> Iterator[None]:
        """Inside, 0 times some features goes into the embeddings: the tower, and a frozen language
        model, have a backward pass on this rank too.
        """
        embeddings = self.model.get_input_embeddings()
        hook = embeddings.register_forward_hook(lambda *called: called[-1] + 0.0 * unused.sum())
        try:
            yield
        finally:
            hook.remove()

    def _features(self, batch: TrainingBatch, pixel_values: Tensor) -> Tensor:
        """Features of all pictures; one that several sequences show is encoded once where they
        share what they begin with.
        """
        if self.shared_prefix:
            return encode_once(batch, pixel_values, family=self.family, encode=self._encode)
        return torch.cat(self._encode(pixel_values, batch.image_grid_thw))

    def _read(self, batch: TrainingBatch, features: Tensor, at: Places | None) -> Tensor:
        hidden = self.family.read(
            self.model,
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            grid_thw=batch.image_grid_thw,
            features=features,
        )
        return hidden if at is None else hidden[at]

    def _read_packed(self, batch: TrainingBatch, features: Tensor, at: Places | None) -> Tensor:
        packing, grids = Packing.of(batch.attention_mask), batch.image_grid_thw
        if self.shared_prefix:
            packing = self.sharing(batch)
            is_read = packing.is_own[batch.input_ids == self.image_token_id]
            counts = self.family.num_tokens(grids, self.model.config)
            grids, features = grids[is_read[counts.cumsum(0) - counts]], features[is_read]
        row, told = packing.row(batch.input_ids), packing.told(self.model)
        split = None
        if (group := self.reading_group) is not None:
            split = told["row"] = SplitRow(row.shape[1], group)
        hidden = self.family.read(
            self.model,
            input_ids=row,
            attention_mask=None,
            grid_thw=grids,
            features=features,
            positions=torch.stack([packing.row(axis) for axis in self.positions(batch)]),
            **told,
        )
        if split is not None:
            hidden = split.whole(hidden)
        return packing.batch(hidden) if at is None else packing.at(hidden, *at)

    def sharing(self, batch: TrainingBatch) -> SharedPacking:
        """How the sequences of a batch stand in one row with `shared_prefix`."""
        return SharedPacking.of_batch(batch, self.model.config, family=self.family)

    def positions(self, batch: TrainingBatch) -> Int[Tensor, "3 batch tokens"]:
        """The positions that `forward` uses: time, row, column."""
        return self.family.positions(
            self.model, batch.input_ids, batch.image_grid_thw, batch.attention_mask
        )

    def response_logprobs(
        self,
        batch: TrainingBatch,
        *,
        features: Float[Tensor, "image_tokens width"] | None = None,
        chunk_tokens: int = 1024,
        temperature: float = 1.0,
        banned_ids: Sequence[int] = (),
        with_entropy: bool = False,
        entropy_gradient: bool = False,
    ) -> tuple[Float[Tensor, "batch tokens"], Float[Tensor, "batch tokens"] | None]:
        """Log p(token t | tokens before) where the loss mask is 1, else 0.0; and the entropy there.

        The arguments after `features` are those of `logprobs.Targets.of` and `chosen_logprobs`,
        with their errors.
        """
        targets = Targets.of(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            loss_mask=batch.loss_mask,
            banned_ids=banned_ids,
        )
        # one call for FSDP, whose root this method is
        states = self.forward(batch, features, at=targets.before)
        if (group := self.reading_group) is not None:
            own = group.share(len(states))
            states, targets = states[own], targets.part(own)
        logprobs, entropy = chosen_logprobs(
            states,
            self.model.lm_head,  # pyright: ignore[reportArgumentType]
            targets,
            chunk_tokens=chunk_tokens,
            temperature=temperature,
            with_entropy=with_entropy,
            entropy_gradient=entropy_gradient,
        )
        if group is not None:
            logprobs = group.summed(logprobs)
            entropy = None if entropy is None else group.summed(entropy)
        return logprobs, entropy

    @contextmanager
    def as_reference(self) -> Iterator[Policy]:
        """Inside, the adapters are off: the policy is its own reference.

        Raises:
            ConfigError: There are no adapters; a reference needs its own weights then.
        """
        if self.lora is None:
            raise ConfigError("without lora the reference needs its own copy of the weights")
        with adapters_off(self.model):
            yield self

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write a plain Hugging Face folder, adapters merged. All ranks call it; rank 0 writes.

        Args:
            folder: Made when missing.
            dtype: To save in; None keeps the weights' own.
        Raises:
            ConfigError: The policy was not loaded from a folder, so it has no tokenizer to save.
        """
        if self.source is None:
            raise ConfigError(f"{folder}: cannot save a policy that was not loaded from a folder")
        is_writer = not dist.is_initialized() or dist.get_rank() == 0
        weights = {}
        for name, weight in export_weights(self.model, dtype=dtype):
            if is_writer:
                weights[name] = weight.detach().to("cpu", copy=True)  # not a view of a buffer
        if is_writer:
            write_folder(Path(folder), weights=weights, model=self.model, source=self.source)

    def _check_image_tokens(self, batch: TrainingBatch, features: Tensor) -> None:
        """Each picture has one unbroken run of placeholders, as long as its grid says."""
        is_image = batch.input_ids == self.model.config.image_token_id
        is_start = is_image.clone()
        is_start[:, 1:] &= ~is_image[:, :-1]
        runs = torch.bincount(is_start.flatten().cumsum(0)[is_image.flatten()])[1:].tolist()
        expected = self.family.num_tokens(batch.image_grid_thw, self.model.config).tolist()
        rows = is_start.nonzero()[:, 0].tolist()
        for index, (found, wanted) in enumerate(zip(runs, expected, strict=False)):
            if found != wanted:
                raise AlignmentError(
                    f"picture {index} (row {rows[index]}, {_describe(batch, index)}) has {found} "
                    f"placeholder tokens in input_ids, but its grid makes {wanted} features"
                )
        if len(runs) != len(expected):
            raise AlignmentError(
                f"{len(runs)} runs of placeholders in input_ids, but {len(expected)} pictures"
            )
        if features.shape != (sum(expected), self.feature_width):
            raise AlignmentError(
                f"{sum(expected)} image tokens in input_ids, but features of shape "
                f"{tuple(features.shape)}; expected ({sum(expected)}, {self.feature_width})"
            )


def _attention_cost(model: PreTrainedModel, family: Family) -> float:
    """A token that attends to L/2 others on average multiplies 2 L numbers by the width of all
    heads in each layer, forwards; a linear layer 2 of each weight. Backwards both are twice that.
    """
    text = model.config.get_text_config()
    width = text.num_attention_heads * family.head_dim(model.config)
    layers = text.num_hidden_layers - len(family.linear_attention(model.config).layers)
    stack = family.language_model(model).get_submodule("layers")
    return layers * width / sum(w.numel() for w in stack.parameters() if w.ndim == 2)


def _describe(batch: TrainingBatch, index: int) -> str:
    return batch.views[index].path if index < len(batch.views) else "no view"
