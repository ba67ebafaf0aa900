"""The data of SFT and policy gradients: one source of grounded records, served as traces to imitate
or as a buffer that rollouts fill.

SFT plans its optimizer batches ahead of time, as a phase does, so that the weight of every token is
known before a batch is cut into micro-batches and ranks.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, TypeVar

import lightning as L
from torch.utils.data import DataLoader, Dataset

from vigorl.core.advantages import Normalization, check_normalization, token_weights
from vigorl.core.errors import ConfigError, DataError
from vigorl.core.records import TaskRecord, TraceRecord
from vigorl.core.rollout import ScoredRollout, TrainingSample
from vigorl.data.collate import TrainingBatch, collate
from vigorl.data.datasets import fingerprint
from vigorl.data.dry_pass import dry_pass
from vigorl.data.encoding import encode_trace
from vigorl.data.faults import settle
from vigorl.data.sources.files import all_names
from vigorl.data.sources.files import chosen as chosen_records
from vigorl.data.splits import DataSource, DataSplits
from vigorl.models.policy import Policy
from vigorl.ranks import from_all_ranks
from vigorl.rollout.environment import Environment
from vigorl.rollout.seeds import derive_seed
from vigorl.training.buffer import Interleaved, RolloutBuffer, Spare, with_spares
from vigorl.training.pairs import Pair, PairBatches, PairSource
from vigorl.training.phase import loss_tokens, weigh_update
from vigorl.training.plan import PhasePlan, places_per_update, prompts_from
from vigorl.training.recorded import OwnAnswers
from vigorl.training.samplers.rates import SolveRates, tally_rollouts
from vigorl.training.samplers.sampler import Sampler, check_choice
from vigorl.training.token_budget import TokenBudget, deal

_LOG = logging.getLogger(__name__)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceBatching:
    """How traces become optimizer batches.

    Attributes:
        sequences_per_update: Sequences of one optimizer batch, over all ranks and micro-batches.
        micro_batch_size: Sequences of one forward pass on one rank; with `micro_batch_tokens` the
            most of them.
        normalization: How the tokens of an optimizer batch are averaged.
        constant_length: Tokens; only for "constant_length".
        max_tokens: Longer traces (pictures expanded) are an error, never cut.
        own: Answers that an earlier stage has recorded are the traces; None: those of the source.
        micro_batch_tokens: Most tokens of one forward pass, pictures expanded. None counts
            sequences only.
    """

    sequences_per_update: int
    micro_batch_size: int
    normalization: Normalization | str = Normalization.TOKEN_MEAN
    constant_length: int | None = None
    max_tokens: int = 8192
    own: OwnAnswers | None = None
    micro_batch_tokens: int | None = None

    def __post_init__(self) -> None:
        check_normalization(self.normalization, self.constant_length)
        if self.normalization == Normalization.PROMPT_MEAN:
            raise ConfigError(
                "traces.normalization=prompt_mean has no effect: each trace is its own prompt; "
                "set sequence_mean"
            )

    def token_weights(self, num_tokens: Sequence[int], groups: Sequence[str] = ()) -> list[float]:
        """See `core.advantages.token_weights`."""
        return token_weights(
            num_tokens,
            normalization=Normalization(self.normalization),
            constant_length=self.constant_length,
        )

    def accumulate(self, world_size: int) -> int:
        """Micro-batches per update on each rank, spare ones with them."""
        return places_per_update(
            self.sequences_per_update,
            micro_batch_size=self.micro_batch_size,
            micro_batch_tokens=self.micro_batch_tokens,
            world_size=world_size,
            key="traces",
        )


@dataclass(frozen=True, slots=True)
class PhasePrompts:
    """What a phase asks, over all ranks.

    Attributes:
        tasks: In order.
        metrics: (sum, count) by name; none without a sampler.
    """

    tasks: Sequence[TaskRecord]
    metrics: Mapping[str, tuple[float, float]]


class GroundedTraceDataModule(L.LightningDataModule):
    """Shared by SFT (`traces` given), policy gradients (`plan`) and pairs of rollouts (`pairs`).

    Args:
        source: Makes and loads the records.
        environment: The prompt, tokens, pictures and tools of the run's rollouts; traces are
            encoded with the same ones.
        plan: How a phase is cut; the train loader is the buffer that `callbacks.rollout` fills.
        traces: How traces are batched; the train loader serves them encoded.
        pairs: Which pairs of answers there are, and how they are batched.
        sampler: Which prompts a phase takes; None asks every prompt once per pass over the data.
        seed: Seed of the shuffling.
        num_workers: Processes that collate traces.
        with_pixels: Whether batches carry pixels; not needed when a frozen tower's features are
            cached.
    """

    def __init__(
        self,
        *,
        source: DataSource,
        environment: Environment,
        plan: PhasePlan | None = None,
        traces: TraceBatching | None = None,
        pairs: PairSource | None = None,
        sampler: Sampler | None = None,
        seed: int = 0,
        num_workers: int = 0,
        with_pixels: bool = False,
    ) -> None:
        super().__init__()
        if sum(one is not None for one in (plan, traces, pairs)) != 1:
            raise ConfigError(
                "give the data module one of data.plan (policy gradient), data.traces (SFT) and "
                "data.pairs (pairs of rollouts)"
            )
        self.source, self.environment = source, environment
        self.plan, self.traces, self.sampler = plan, traces, sampler
        self.pairs = pairs
        self._pairs: list[Pair] = []
        self.seed, self.num_workers, self.with_pixels = seed, num_workers, with_pixels
        self.splits = DataSplits()
        self.buffer: RolloutBuffer | None = None
        self.solve_rates: SolveRates | None = None
        self.num_asked: int | None = None  # of a run whose phases ask as many prompts as it takes
        self._asked: set[int] = set()  # of this phase, with a sampler
        self._encoded: dict[str, list[TrainingSample]] = {}

    def prepare_data(self) -> None:
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        if not (self.splits.train_tasks or self.splits.train_traces):
            self.splits = self._dry_pass(self.source.load())
        if self.sampler is not None and self.solve_rates is None:
            assert self.plan is not None
            check_choice(len(self.splits.train_tasks), self.plan.prompts_per_phase)
            self.solve_rates = self.sampler.rates_before(self.splits.train_tasks)
        if self.pairs is not None and not self._pairs:
            self._pairs = self.pairs.read(self.splits.train_tasks, self.environment)
        if self.traces is None or self._encoded:
            return
        if self.traces.own is not None:
            self._encoded["train"], self._encoded["val"] = self.traces.own.read()
            return
        if not self.splits.train_traces:
            raise ConfigError("SFT needs traces: set data.traces / data.num_traces of the source")
        for side in ("train", "val"):
            records: Sequence[TraceRecord] = getattr(self.splits, f"{side}_traces")
            self._encoded[side] = self._encode_all(records)

    def _dry_pass(self, splits: DataSplits) -> DataSplits:
        """Without what rollouts could not ask; the benchmark is not asked here."""
        asked = {
            name: dry_pass(getattr(splits, name), self.environment, rules=splits.rules)
            for name in ("train_tasks", "val_tasks")
        }
        return replace(splits, **asked)

    def _encode_all(self, records: Sequence[TraceRecord]) -> list[TrainingSample]:
        rules, faults = self.splits.rules, list[DataError]()
        samples: list[TrainingSample] = []
        for record in dry_pass(records, self.environment, rules=rules):
            try:
                samples.append(self._encode(record))
            except DataError as error:
                faults.append(error)
        settle(faults, num_rows=len(records), skip=rules.skip_bad_rows)
        return samples

    def train_dataloader(self) -> DataLoader[Any]:
        trainer, context = self._trainer(), self._policy().context
        # those of the ranks that read together are read by each of them
        ranks = [trainer.global_rank] if context is None else context.members
        batching = self.plan or self.pairs or self.traces
        assert batching is not None
        self._check_accumulation(batching.accumulate(trainer.world_size) * len(ranks))
        if self.plan is not None:
            num_batches = self.plan.batches_per_phase(trainer.world_size) * len(ranks)
            self.buffer = RolloutBuffer(num_batches, collate=self.collate)
            return DataLoader(self.buffer, batch_size=None)
        order = f"{self.seed}/{trainer.current_epoch}"
        if self.pairs is not None:
            of_rank = [self._pair_batches(self.pairs, order=order, rank=rank) for rank in ranks]
        else:
            assert self.traces is not None
            of_rank = [self._batches("train", self.traces, order=order, rank=one) for one in ranks]
        batches = Interleaved[Any](of_rank)
        return DataLoader(batches, batch_size=None, num_workers=self.num_workers)

    def _pair_batches(self, pairs: PairSource, *, order: str, rank: int) -> PairBatches:
        return PairBatches(
            self._pairs,
            pairs,
            collate=self.collate,
            num_tokens=self.num_tokens,
            order=order,
            world_size=self._trainer().world_size,
            rank=rank,
        )

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        if self.traces is None:
            return []
        world_size = self._trainer().world_size
        # few held-out traces may not fill a micro-batch on each rank
        micro_batch_size = min(
            self.traces.micro_batch_size, len(self._encoded["val"]) // world_size
        )
        if micro_batch_size == 0:
            return []
        settings = replace(
            self.traces,
            micro_batch_size=micro_batch_size,
            sequences_per_update=micro_batch_size * world_size,
        )
        rank = self._trainer().global_rank
        return DataLoader(self._batches("val", settings, order="val", rank=rank), batch_size=None)

    def _batches(
        self, side: str, settings: TraceBatching, *, order: str, rank: int
    ) -> TraceBatches:
        return TraceBatches(
            self._encoded[side],
            settings,
            datamodule=self,
            attention=self._policy().attention_cost,
            order=order,
            world_size=self._trainer().world_size,
            rank=rank,
        )

    def prompts_of_phase(
        self,
        phase: int,
        *,
        seed: int,
        count: int | None = None,
        round: int = 0,
        in_the_making: Iterable[str] = (),
    ) -> PhasePrompts:
        """The same on every rank, from (seed, phase, prompts asked and solve rates so far).

        Without a sampler every prompt comes once per pass over the data, however many a phase
        asks; with one, no prompt comes twice in a phase, and further rounds have fewer where none
        is left.

        Args:
            phase: From 0.
            seed: Of the run.
            count: Prompts, where a phase asks others than planned; every phase of the run says so
                then.
            round: Of the phase, from 0.
            in_the_making: Ids of tasks whose groups another phase has left to this one; a sampler
                does not choose them again.
        """
        assert self.plan is not None
        tasks, planned = self.splits.train_tasks, self.plan.prompts_per_phase
        if self.sampler is None or self.solve_rates is None:
            if count is None and self.num_asked is None:
                chosen = self.plan.prompts_of_phase(phase, num_prompts=len(tasks), seed=seed)
                return PhasePrompts([tasks[i] for i in chosen], {})
            count = planned if count is None else count
            first = phase * planned if self.num_asked is None else self.num_asked
            self.num_asked = first + count
            chosen = prompts_from(first, count, num_prompts=len(tasks), seed=seed)
            return PhasePrompts([tasks[i] for i in chosen], {})
        taken, ids = set(in_the_making), [name for name, *_ in all_names(tasks)]
        self._asked = self._asked if round else set()
        left = [i for i, name in enumerate(ids) if not (i in self._asked or name in taken)]
        tasks, count = chosen_records(tasks, left), min(count or planned, len(left))
        if not count:
            return PhasePrompts([], {})
        seed = derive_seed(seed, "refill", round) if round else seed
        rates = [self.solve_rates.of(ids[i]) for i in left]
        choice = self.sampler.choose(rates, tasks=tasks, phase=phase, count=count, seed=seed)
        self._asked |= {left[i] for i in choice.indices}
        if choice.num_filled and self._trainer().is_global_zero:
            _LOG.warning(
                "phase %d: the sampler would skip %d of %d training tasks, yet %d of %d prompts "
                "are such ones for want of others; other data or settings would teach more",
                *(phase, choice.num_skipped, len(tasks), choice.num_filled, count),
            )
        metrics = {
            "data/rated_frac": (sum(rate is not None for rate in rates), len(tasks)),
            "data/skipped_frac": (choice.num_skipped, len(tasks)),
            "data/filled_frac": (choice.num_filled, count),
            "data/difficulty_mean": (sum(choice.difficulties), count),
        }
        return PhasePrompts([tasks[i] for i in choice.indices], metrics)

    def measure(self, scored: Sequence[ScoredRollout]) -> None:
        """Learn from this rank's groups how hard their tasks are; all ranks must call it."""
        if self.solve_rates is None:
            return
        self.solve_rates.update(sum(from_all_ranks(tally_rollouts(scored)), Counter()))

    def state_dict(self) -> dict[str, Any]:
        """Lightning saves it with the weights; empty where phases ask what is planned."""
        asked: dict[str, Any] = {} if self.num_asked is None else {"num_asked": self.num_asked}
        if self._asked:  # of the phase to come too, where its first round is made ahead
            asked["asked"] = sorted(self._asked)
        return asked | ({} if self.solve_rates is None else self.solve_rates.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning calls it after `setup` and before the first phase that is left to do."""
        self.num_asked = state_dict.get("num_asked")
        self._asked = set(state_dict.get("asked", ()))
        if self.solve_rates is not None and "solve_rates" in state_dict:  # a run may go on without
            self.solve_rates.load_state_dict(state_dict)

    def collate(self, samples: Sequence[TrainingSample]) -> TrainingBatch:
        codec = self.environment.codec
        return collate(
            samples,
            images=self.environment.images,
            pad_id=codec.pad_id,
            image_id=codec.image_id,
            with_pixels=self.with_pixels,
        )

    def fingerprints(self) -> dict[str, str]:
        """What the run was fed: a sha256 per split, over rows and pictures."""
        splits = self.splits.records
        return {f"data/{name}": fingerprint(rows)[:16] for name, rows in splits.items() if rows}

    def num_tokens(self, sample: TrainingSample) -> int:
        """Length with pictures expanded."""
        images = sum(self.environment.images.num_tokens(view) - 1 for view in sample.views)
        return len(sample.token_ids) + images

    def num_shared(self, samples: Sequence[TrainingSample]) -> int:
        """Tokens that samples begin with together, pictures expanded."""
        image_id = self.environment.codec.image_id
        views = _begun([[view.key for view in sample.views] for sample in samples])
        ids = _begun([sample.token_ids for sample in samples])
        places = [i for i, token in enumerate(ids) if token == image_id]
        if len(places) > len(views):  # of pictures that differ
            ids, places = ids[: places[len(views)]], places[: len(views)]
        shown = samples[0].views[: len(places)]
        return len(ids) + sum(self.environment.images.num_tokens(view) - 1 for view in shown)

    def _encode(self, record: TraceRecord) -> TrainingSample:
        assert self.traces is not None
        env = self.environment
        sample = encode_trace(
            record,
            prompt=env.prompt,
            codec=env.codec,
            images=env.images,
            tools=env.tools,
            max_calls=env.limits.max_calls_per_turn,
        )
        if self.num_tokens(sample) > self.traces.max_tokens:
            raise ConfigError(
                f"trace {record.task.id} ({record.task.source}) has "
                f"{self.num_tokens(sample)} tokens, more than "
                f"traces.max_tokens={self.traces.max_tokens}; raise it or drop the trace"
            )
        return sample

    def _policy(self) -> Policy:
        return self._trainer().lightning_module.policy  # pyright: ignore[reportReturnType, reportAttributeAccessIssue]

    def _trainer(self) -> L.Trainer:
        if self.trainer is None:
            raise RuntimeError("the data module serves batches only inside a Trainer")
        return self.trainer

    def _check_accumulation(self, wanted: int) -> None:
        found = self._trainer().accumulate_grad_batches
        if found != wanted:
            raise ConfigError(
                f"trainer.accumulate_grad_batches={found}, but the plan needs {wanted} "
                "micro-batches per update on each rank"
            )


def _begun(many: Sequence[Sequence[Value]]) -> list[Value]:
    """What all of them begin with."""
    steps = zip(*many, strict=False)
    return [values[0] for values in takewhile(lambda values: len(set(values)) == 1, steps)]


class TraceBatches(Dataset[TrainingBatch | Spare]):
    """One epoch of traces on one rank: every trace once, in whole optimizer batches; the rest waits
    for the next epoch.

    Within an optimizer batch traces are sorted by length, so that a micro-batch has little padding;
    the weights are fixed before, so this changes nothing else. Where tokens are counted, they are
    dealt out by what they cost, over the ranks too.
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        settings: TraceBatching,
        *,
        datamodule: GroundedTraceDataModule,
        order: str,
        world_size: int,
        rank: int,
        attention: float = 0.0,
    ) -> None:
        self._samples, self._settings, self._datamodule = samples, settings, datamodule
        self._world_size, self._rank = world_size, rank
        self._cut_update: int | None = None  # whose micro-batches `_cut` are
        self._cut: Sequence[Sequence[TrainingSample] | Spare] = ()
        self._order = list(range(len(samples)))
        random.Random(order).shuffle(self._order)
        if len(self) == 0:
            raise ConfigError(
                f"{len(samples)} traces do not fill one optimizer batch of "
                f"traces.sequences_per_update={settings.sequences_per_update}"
            )
        self._budget = None
        if (most := settings.micro_batch_tokens) is not None:
            self._budget = TokenBudget(
                most_tokens=most, most_sequences=settings.micro_batch_size, attention=attention
            )
            longest = max(map(datamodule.num_tokens, samples))
            if longest > most:
                raise ConfigError(
                    f"traces.micro_batch_tokens={most} has no room for a trace of {longest} "
                    "tokens; raise it, or drop the trace"
                )

    def __len__(self) -> int:
        updates = len(self._samples) // self._settings.sequences_per_update
        return updates * self._settings.accumulate(self._world_size)

    def __getitem__(self, index: int) -> TrainingBatch | Spare:
        if index >= len(self):
            raise IndexError(index)
        accumulate = self._settings.accumulate(self._world_size)
        update, micro = divmod(index, accumulate)
        if update != self._cut_update:
            self._cut_update, self._cut = update, self._cut_of(update, accumulate)
        part = self._cut[micro]
        return part if isinstance(part, Spare) else self._datamodule.collate(part)

    def _cut_of(self, number: int, places: int) -> Sequence[Sequence[TrainingSample] | Spare]:
        """This rank's micro-batches of an update."""
        size, each = self._settings.sequences_per_update, self._settings.micro_batch_size
        chosen = [self._samples[i] for i in self._order[number * size : (number + 1) * size]]
        weigh, counts = self._settings.token_weights, loss_tokens(chosen)  # of all ranks
        update = weigh_update(chosen, weigh, of_ranks=[counts], rank=0)
        if self._budget is None:
            ranked = sorted(update, key=self._datamodule.num_tokens)
            firsts = [(micro * self._world_size + self._rank) * each for micro in range(places)]
            return [ranked[first : first + each] for first in firsts]
        lengths = [self._datamodule.num_tokens(sample) for sample in update]
        dealt = deal(lengths, budget=self._budget, num_ranks=self._world_size, rank=self._rank)
        parts = [[update[i] for i in part] for part in dealt]
        return with_spares(parts, [len(parts)], places=places)
