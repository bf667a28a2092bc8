"""What a step of training on pairs minimises and reports."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from backstay.learn.lessons import Comparison
from backstay.learn.preference.losses import cdpo_loss, dpo_loss, ipo_loss, kto_loss, robust_dpo_loss
from backstay.learn.preference_settings import DpoSettings


@dataclass(frozen=True)
class PairBatch:
    """P pairs: log-ratios of policy to reference summed over response tokens, response lengths, label and weight."""

    log_ratio_a_P: Tensor
    log_ratio_b_P: Tensor
    tokens_a_P: Tensor
    tokens_b_P: Tensor
    p_a_P: Tensor
    weight_P: Tensor

    @classmethod
    def joined(cls, parts: Sequence["PairBatch"]) -> "PairBatch":
        """All pairs of some batches in one, without gradients."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name).detach() for part in parts]) for name in names})


def total_weight(pairs: Sequence[Comparison], settings: DpoSettings) -> float:
    """What the sum of losses of an optimizer step is divided by: all weights, which micro-batches do not change."""
    if settings.loss == "kto":
        return sum(2 * decided(pair) for pair in pairs)
    return sum(pair.weight for pair in pairs)


def decided(pair: Comparison) -> float:
    """Weight of each response of a pair in KTO: the pair's times |2 p - 1|, what the label says beyond a coin."""
    return abs(2 * pair.p_a - 1) * pair.weight


def summed_loss(batch: PairBatch, settings: DpoSettings, reference_point: Tensor | None = None) -> Tensor:
    """Sum over pairs of weight times loss; `reference_point` is KTO's."""
    if settings.loss == "kto":
        if reference_point is None:
            raise ValueError("kto needs its reference point")
        return _kto(batch, settings, reference_point)
    return (batch.weight_P * _pair_losses(batch, settings)).sum()


def _pair_losses(batch: PairBatch, settings: DpoSettings) -> Tensor:
    a, b, p_a = batch.log_ratio_a_P, batch.log_ratio_b_P, batch.p_a_P
    beta, margin, flip_rate = settings.beta, settings.margin, settings.label_smoothing
    if settings.loss == "ipo":
        return ipo_loss(a / batch.tokens_a_P, b / batch.tokens_b_P, p_a, beta=beta)
    if settings.loss == "cdpo":
        return cdpo_loss(a, b, p_a, beta=beta, flip_rate=flip_rate, margin=margin)
    if settings.loss == "robust":
        return robust_dpo_loss(a, b, p_a, beta=beta, flip_rate=flip_rate, margin=margin)
    return dpo_loss(a, b, p_a, beta=beta, margin=margin)


def _kto(batch: PairBatch, settings: DpoSettings, reference_point: Tensor) -> Tensor:
    """Both responses of each pair by themselves: the likelier winner is desirable, the other is not."""
    weight, a_wins = batch.weight_P * (2 * batch.p_a_P - 1).abs(), batch.p_a_P > 0.5
    sides = ((batch.log_ratio_a_P, a_wins), (batch.log_ratio_b_P, ~a_wins))
    losses = [
        kto_loss(
            log_ratio,
            desirable,
            reference_point,
            beta=settings.beta,
            desirable_weight=settings.desirable_weight,
            undesirable_weight=settings.undesirable_weight,
        )
        for log_ratio, desirable in sides
    ]
    return (weight * (losses[0] + losses[1])).sum()


def figures(batch: PairBatch, beta: float) -> dict[str, float | None]:
    """How far the policy has learned the batch's pairs.

    Pairs whose label is 0.5 have no preferred side and are left out. A response's implicit reward is beta times its
    log-ratio; responses with the same one count half in the accuracy.
    """
    clear = batch.p_a_P != 0.5
    if not bool(clear.any()):
        return dict.fromkeys(("accuracy", "margin", "chosen_logprob_change", "rejected_logprob_change"))
    a, b, a_wins = batch.log_ratio_a_P[clear], batch.log_ratio_b_P[clear], batch.p_a_P[clear] > 0.5
    chosen, rejected = a.where(a_wins, b), b.where(a_wins, a)
    return {
        "accuracy": float(((chosen - rejected).sign() + 1).double().mean() / 2),
        "margin": float(beta * (chosen - rejected).mean()),
        "chosen_logprob_change": float(chosen.mean()),
        "rejected_logprob_change": float(rejected.mean()),
    }
