"""A reward ensemble with its costs and its gate, ready to score texts: what the reward service serves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backstay.learn.branch_states import BranchStates
from backstay.learn.ensembles import combine, spread
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.reward import score_rows
from backstay.learn.rl.lagrangian import weigh
from backstay.learn.rl.monitors import Novelty
from backstay.learn.rl.rewards import References, pessimistic_cost, shaped_score
from backstay.learn.scalar_models import RewardMember

GATE_QUANTILE = 0.99
NOVELTY_ROWS = 512
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Row:
    """A prompt and a response as tokens; `known` is the prompt's id where it is one of the run's own.

    `cut` is true where the response was longer, and only its beginning is here.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    finished: bool
    known: str = ""
    cut: bool = False


@dataclass(frozen=True)
class Scored:
    """What is said of a row. `score` is the ensemble's, `shaped` what training would maximise; None = no finite score.

    `gate` is true where members disagree more, or the latent state lies further out, than in 99 % of the responses that
    the gate was set on. There `score` is no higher than the lowest member's.
    """

    score: float | None
    shaped: float
    spread: float | None
    cost: float | None
    gate: bool


@dataclass(frozen=True)
class Gate:
    """When the ensemble is not to be trusted: above `spread_limit`, or where `novelty` sees an outlier."""

    spread_limit: float = math.inf
    novelty: Novelty | None = None

    def closed(self, spread_B: Tensor, features_B_F: Tensor) -> Tensor:
        """True at rows that are not to be trusted, those without a finite score among them, `[B]`."""
        untrusted = ~(spread_B.cpu() <= self.spread_limit)
        if self.novelty is not None:
            outliers = self.novelty.outliers(features_B_F).tolist()
            untrusted |= torch.tensor(outliers, dtype=torch.bool)
        return untrusted


@dataclass(frozen=True)
class _Reading:
    """What members, costs and gate make of rows."""

    raw_M_B: Tensor
    features_B_F: Tensor
    cost_M_B: Tensor | None


class ServedReward:
    """Members, costs and gate on one base model.

    `references` are scores of reference responses by prompt id; their mean is the prompt's baseline. A prompt without
    any takes the mean of all, or 0. `price` is the multiplier of the cost in `shaped`.
    """

    def __init__(
        self,
        model: LanguageModel,
        members: Sequence[RewardMember],
        *,
        costs: Sequence[RewardMember] = (),
        settings: PpoSettings,
        references: Mapping[str, Sequence[float]],
        price: float = 0.0,
    ) -> None:
        self.model, self.members, self.costs = model, list(members), list(costs)
        self.settings, self.references, self.price = settings, references, price
        means = [sum(scores) / len(scores) for scores in references.values() if scores]
        self.usual = sum(means) / len(means) if means else 0.0
        self.gate = Gate()
        self.floor = 0.0

    @property
    def reads_features(self) -> bool:
        """Whether every member and every cost reads pooled branch states, and runs no layer of its own."""
        return not any(member.layers for member in (*self.members, *self.costs))

    @torch.no_grad()
    def calibrate(self, rows: Sequence[Row], features_B_F: Tensor | None = None) -> None:
        """Set the gate on rows that the ensemble was trained on, and the floor: the lowest shaped score among them.

        `features_B_F` are their pooled branch states, where they are at hand and `reads_features` holds.
        Without rows the gate stays open, save for rows without a finite score.
        """
        if not rows:
            return
        read = self._read(rows) if features_B_F is None else self._read_features(rows, features_B_F)
        known, width = read.features_B_F.shape
        novelty = Novelty(min(known, NOVELTY_ROWS), width).to(read.features_B_F.device)
        novelty.fit(read.features_B_F)
        self.gate = Gate(float(torch.quantile(spread(read.raw_M_B).double(), GATE_QUANTILE)), novelty)
        shaped = [row.shaped for row in self._score(rows, read) if row.score is not None]
        self.floor = min(shaped, default=0.0)

    def score(self, rows: Sequence[Row]) -> list[Scored]:
        """Score rows, in order. One without a finite score has the floor as its shaped score, and a closed gate."""
        starts = range(0, len(rows), ROWS_AT_ONCE)
        parts = [rows[start : start + ROWS_AT_ONCE] for start in starts]
        return [scored for part in parts for scored in self._score(part, self._read(part))]

    @torch.no_grad()
    def _score(self, rows: Sequence[Row], read: "_Reading") -> list[Scored]:
        settings, raw_M_B = self.settings, read.raw_M_B
        spread_B = spread(raw_M_B)
        closed_B = self.gate.closed(spread_B, read.features_B_F)
        combined_B = combine(raw_M_B, settings.combine, settings.uncertainty_penalty)
        score_B = torch.where(closed_B.to(raw_M_B.device), torch.minimum(combined_B, raw_M_B.amin(0)), combined_B)
        cost_B = None if read.cost_M_B is None else pessimistic_cost(read.cost_M_B, settings)
        shaped_B = self._shaped(score_B, cost_B, rows)
        values = zip(
            _list(score_B), _list(shaped_B), _list(spread_B), _list(cost_B, len(rows)), closed_B.tolist(), strict=True
        )
        return [
            Scored(score, self.floor if shaped is None else shaped, width, cost, bool(closed))
            for score, shaped, width, cost, closed in values
        ]

    @torch.no_grad()
    def _read(self, rows: Sequence[Row]) -> "_Reading":
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        index = {prompt: number for number, prompt in enumerate(prompts)}
        responses, which = [list(row.response) for row in rows], range(len(rows))
        states = BranchStates(self.model, [list(p) for p in prompts], responses, [index[row.prompt] for row in rows])
        costs = score_rows(states, self.costs, which) if self.costs else None
        return _Reading(score_rows(states, self.members, which), states.features(), costs)

    def _read_features(self, rows: Sequence[Row], features_B_F: Tensor) -> "_Reading":
        length_B = torch.tensor([len(row.response) for row in rows], device=features_B_F.device)
        raw = torch.stack([member.score(features_B_F, length_B) for member in self.members])
        costs = [member.score(features_B_F, length_B) for member in self.costs]
        return _Reading(raw, features_B_F, torch.stack(costs) if costs else None)

    def _shaped(self, score_B: Tensor, cost_B: Tensor | None, rows: Sequence[Row]) -> Tensor:
        """The same shaping as in training, of a score that is one number already."""
        references = References.of([self.references.get(row.known) or [self.usual] for row in rows], score_B)
        finished_B = torch.tensor([row.finished for row in rows], device=score_B.device)
        alone = self.settings.model_copy(update={"combine": "mean"})
        shaped = shaped_score(score_B[None], finished_B, references, alone)
        return weigh(shaped, cost_B, self.price) if cost_B is not None and self.price else shaped


def _list(values_B: Tensor | None, count: int = 0) -> list[float | None]:
    if values_B is None:
        return [None] * count
    finite = values_B.isfinite().tolist()
    return [float(value) if there else None for value, there in zip(values_B.tolist(), finite, strict=True)]
