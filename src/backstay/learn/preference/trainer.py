"""The loop of offline preference optimisation: steps on pairs, a watch on KL, and a state that resumes exactly."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from backstay.errors import StageFailed, UsageError
from backstay.learn.batches import by_length, shuffled
from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.decoder import Adapters, Decoder
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import new_adapter, response_logprobs
from backstay.learn.preference.losses import kto_reference_point
from backstay.learn.preference.objective import (
    PairBatch,
    decided,
    figures,
    summed_loss,
    total_weight,
)
from backstay.learn.preference.probe import measure_drift
from backstay.learn.preference_settings import DpoSettings
from backstay.learn.settings import ModelSettings
from backstay.learn.training_state import TrainingState, adamw, clip_gradients, linear_decay
from backstay.storage import RunFolder

SAMPLES_A_PROBE = 4


@dataclass(frozen=True)
class PreferenceResult:
    """The trained policy, why training ended (`completed` or `kl_budget`), its steps, its KL in nats a response.

    KL is None where it was not measured.
    """

    policy: Adapter
    reason: str
    steps: int
    kl_nats: float | None


class PreferenceTrainer:
    """DPO and its relatives on `pairs` of `responses`, given as tokens; `prompt_of[i]` is the prompt of response i.

    The reference is folded into the weights above the branch, so that the policy's adapter is the only one that runs;
    its log-probabilities are computed once.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        prompt_of: Sequence[int],
        pairs: Sequence[Comparison],
        *,
        reference: Adapters,
        shape: ModelSettings,
        settings: DpoSettings,
        folder: RunFolder,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        check_pairs(pairs, responses)
        if isinstance(model.decoder, Decoder):
            model, reference = replace(model, decoder=model.decoder.merged(reference)), ()
        self.model, self.pairs, self.settings, self.folder = model, pairs, settings, folder
        self.reference: tuple[Adapter, ...] = tuple(reference)
        self.count = len(responses)
        strangers = strangers_of(prompt_of, settings.seed) if settings.loss == "kto" else []
        every = [*responses, *(responses[stranger] for stranger in strangers)]
        self.rows = BranchStates(model, prompts, every, [*prompt_of, *(prompt_of if strangers else ())])
        self.rows.notify = notify
        self.random = {"order": torch.Generator().manual_seed(settings.seed)}
        self.random["sampling"] = torch.Generator().manual_seed(settings.seed + 1_000_003)
        self.policy = new_adapter(model.decoder, shape, "dpo", reference, self.random["order"])
        self.good = copy.deepcopy(self.policy).requires_grad_(False)
        self.optimizer = adamw([self.policy], settings.learning_rate)
        self.state = TrainingState({"policy": self.policy, "good": self.good}, {"policy": self.optimizer}, self.random)
        self.good_kl = 0.0
        self.steps = -(-len(pairs) // settings.batch_size) * settings.epochs
        self._reference_logprob: Tensor | None = None

    def run(self) -> PreferenceResult:
        """Train to the end, or to the KL budget. The last step is measured too, so that no unmeasured policy leaves."""
        settings, resumed = self.settings, self.state.resume(self.folder)
        done, order = (0, []) if resumed is None else self._restore(*resumed)
        for step in range(done, self.steps):
            started = time.perf_counter()
            order = order or shuffled(len(self.pairs), self.random["order"])
            batch, order = [self.pairs[i] for i in order[: settings.batch_size]], order[settings.batch_size :]
            rate = linear_decay(self.optimizer, settings.learning_rate, step / self.steps)
            row = {"step": step + 1, "steps": self.steps, **self.step(batch), "learning_rate": rate}
            within = self._probe(step + 1, row)
            self.folder.metrics(row)
            self.folder.timing({"step": step + 1, "seconds": time.perf_counter() - started})
            if not within:
                self.policy.load_state_dict(self.good.state_dict())
                return PreferenceResult(self.policy, "kl_budget", step + 1, self.good_kl)
            if (step + 1) % settings.checkpoint_every == 0 and step + 1 < self.steps:
                self.state.save(self.folder, step + 1, {"order": order, "good_kl": self.good_kl})
        return PreferenceResult(self.policy, "completed", self.steps, self.good_kl if settings.kl_every else None)

    def step(self, batch: Sequence[Comparison]) -> dict[str, float | None]:
        """One optimizer step; the figures are those before it.

        Raises StageFailed, before any weight moves, where loss or gradient is no number.
        """
        self.optimizer.zero_grad()
        loss, pairs, extra = self.accumulate(batch)
        norm = clip_gradients([self.policy], self.settings.max_grad_norm)
        self._must_be_finite(f"loss of {self.settings.loss}", loss)
        self._must_be_finite("gradient norm", norm)
        self.optimizer.step()
        return {"loss": loss, **figures(pairs, self.settings.beta), **extra, "grad_norm": norm}

    def accumulate(self, batch: Sequence[Comparison]) -> tuple[float, PairBatch, dict[str, float]]:
        """Gradients of the step's loss, in micro-batches that add up: divided by the weights of the whole step."""
        total = max(total_weight(batch, self.settings), 1e-8)
        point = self._reference_point(batch) if self.settings.loss == "kto" else None
        loss, parts = 0.0, []
        for group in by_length([self._length(pair) for pair in batch], self.settings.micro_batch):
            part = self._ratios([batch[index] for index in group])
            share = summed_loss(part, self.settings, point) / total
            share.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            loss += share.item()
            parts.append(part)
        extra = {} if point is None else {"reference_point": float(point)}
        return loss, PairBatch.joined(parts), extra

    @torch.no_grad()
    def reference_logprobs(self) -> Tensor:
        """Log-probability of every row under the reference, computed once.

        Raises StageFailed where one is no number.
        """
        if self._reference_logprob is None:
            found = self.model.decoder.embedding.new_zeros(len(self.rows))
            for group in by_length([self._row_length(row) for row in range(len(self.rows))], self._rows_at_once):
                found[group] = self._logprobs(group, self.reference)
            if not bool(found.isfinite().all()):
                broken = int((~found.isfinite()).sum())
                raise StageFailed(
                    f"{broken} of {len(found)} log-probabilities under the reference are no numbers",
                    cure="the weights of the base model or of the sft run are broken: run `backstay verify`",
                )
            self._reference_logprob = found
        return self._reference_logprob

    @property
    def _rows_at_once(self) -> int:
        return 2 * self.settings.micro_batch

    def _ratios(self, pairs: Sequence[Comparison]) -> PairBatch:
        rows = [pair.a for pair in pairs] + [pair.b for pair in pairs]
        ratio = self._logprobs(rows, (*self.reference, self.policy)) - self.reference_logprobs()[rows]
        new = self.model.decoder.embedding.new_tensor
        tokens = new([float(len(self.rows.responses[row])) for row in rows])
        a, b = ratio.chunk(2)
        tokens_a, tokens_b = tokens.chunk(2)
        return PairBatch(a, b, tokens_a, tokens_b, new([x.p_a for x in pairs]), new([x.weight for x in pairs]))

    def _logprobs(self, rows: Sequence[int], adapters: Adapters) -> Tensor:
        dialogues, branch = self.rows.batch(rows, adapters)
        return response_logprobs(self.model.decoder, dialogues, branch, adapters).sum(1)

    @torch.no_grad()
    def _reference_point(self, batch: Sequence[Comparison]) -> Tensor:
        """KTO's reference point over the whole step: the step's prompts with responses to other prompts."""
        rows = [self.count + row for pair in batch for row in (pair.a, pair.b)]
        weights = [decided(pair) for pair in batch for _ in range(2)]
        ratio = self.model.decoder.embedding.new_zeros(len(rows))
        for group in by_length([self._row_length(row) for row in rows], self._rows_at_once):
            chosen = [rows[index] for index in group]
            policy = self._logprobs(chosen, (*self.reference, self.policy))
            ratio[group] = policy - self.reference_logprobs()[chosen]
        return kto_reference_point(ratio, ratio.new_tensor(weights))

    def _length(self, pair: Comparison) -> int:
        return max(self._row_length(pair.a), self._row_length(pair.b))

    def _row_length(self, row: int) -> int:
        return len(self.rows.responses[row]) + len(self.rows.prompts[self.rows.prompt_of[row]])

    def _probe(self, done: int, row: dict[str, Any]) -> bool:
        """Measure KL where a measurement is due, and log it; whether the policy may go on."""
        settings = self.settings
        if settings.kl_every == 0 or (done % settings.kl_every and done < self.steps):
            return True
        found = measure_drift(
            self.model,
            self.rows.prompts,
            policy=(*self.reference, self.policy),
            reference=self.reference,
            settings=settings,
            generator=self.random["sampling"],
        )
        row["kl_nats"] = found.kl_nats
        for prompt, text in list(zip(found.prompts, found.texts, strict=True))[:SAMPLES_A_PROBE]:
            self.folder.sample({"step": done, "prompt": prompt, "text": text})
        self._must_be_finite("KL to the reference", found.kl_nats)
        if 0 < settings.kl_budget < found.kl_nats:
            row["rolled_back"] = 1.0
            return False
        self.good.load_state_dict(self.policy.state_dict())
        self.good_kl = found.kl_nats
        return True

    def _must_be_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise StageFailed(
                f"the {name} is {value}: training has left the range of numbers",
                cure=f"lower dpo.learning_rate ({self.settings.learning_rate}), and run again",
            )

    def _restore(self, step: int, numbers: dict[str, Any]) -> tuple[int, list[int]]:
        self.good_kl = float(numbers["good_kl"])
        return step, [int(index) for index in numbers["order"]]


def check_pairs(pairs: Sequence[Comparison], responses: Sequence[Sequence[int]]) -> None:
    """Raise UsageError for a pair that no loss is defined on, naming it and what is wrong."""
    if not pairs:
        raise UsageError("there is no pair to learn from", cure="collect more judgments")
    for number, pair in enumerate(pairs):
        if not 0 <= pair.p_a <= 1:
            raise UsageError(f"pair {number} has p_a = {pair.p_a}; a probability is needed")
        if not (math.isfinite(pair.weight) and pair.weight >= 0):
            raise UsageError(f"pair {number} has weight = {pair.weight}; a finite weight of at least 0 is needed")
        if not (responses[pair.a] and responses[pair.b]):
            raise UsageError(f"pair {number} has a response without tokens", cure="leave such pairs out")


def strangers_of(prompt_of: Sequence[int], seed: int) -> list[int]:
    """For every response one to another prompt, by a random order of all: the mismatched pairs of KTO.

    Drawn once and not in every batch as in the paper, so that trunk states and reference log-probabilities are cached.
    """
    if len(set(prompt_of)) < 2:
        raise UsageError("kto compares prompts with each other's responses, and there is only one prompt")
    order = shuffled(len(prompt_of), torch.Generator().manual_seed(seed + 2_000_003))
    found = [0] * len(order)
    for place, row in enumerate(order):
        later = (order[(place + ahead) % len(order)] for ahead in range(1, len(order)))
        found[row] = next(other for other in later if prompt_of[other] != prompt_of[row])
    return found
