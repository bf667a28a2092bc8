"""Training a Bradley-Terry reward ensemble on weighted soft labels."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backstay.learn.batches import by_length, shuffled
from backstay.learn.bradley_terry import bootstrap_rows, bradley_terry_loss
from backstay.learn.branch_states import BranchStates
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.scalar_models import RewardMember, new_member
from backstay.learn.training_state import TrainingState, adamw, clip_gradients, linear_decay
from backstay.storage import RunFolder

SCORED_AT_ONCE = 64


@dataclass(frozen=True)
class Comparison:
    """A pair as rows of `BranchStates`, with the probability that `a` is better and the pair's weight."""

    a: int
    b: int
    p_a: float
    weight: float


def train_ensemble(
    rows: BranchStates, comparisons: Sequence[Comparison], settings: RewardSettings, folder: RunFolder
) -> list[RewardMember]:
    """Train all members, each on its own bootstrap of `comparisons`, going on from the last checkpoint in `folder`."""
    generator = torch.Generator().manual_seed(settings.seed)
    members = [
        new_member(rows.model.decoder, layers=settings.layers, rank=settings.lora_rank, generator=generator)
        for _ in range(settings.members)
    ]
    optimizers = [adamw([m], settings.learning_rate, weight_decay=settings.weight_decay) for m in members]
    names = [f"member-{index}" for index in range(len(members))]
    state = TrainingState(
        dict(zip(names, members, strict=True)), dict(zip(names, optimizers, strict=True)), {"order": generator}
    )
    resumed = state.resume(folder)
    done, at = (0, {}) if resumed is None else resumed
    steps = -(-len(comparisons) // settings.batch_size) * settings.epochs
    sample, order = list(at.get("sample", [])), list(at.get("order", []))
    for step in range(done, steps * len(members)):
        started = time.perf_counter()
        which, inner = divmod(step, steps)
        if inner == 0:
            sample, order = bootstrap_rows(len(comparisons), generator).tolist(), []
        order = order or shuffled(len(sample), generator)
        batch = [comparisons[sample[i]] for i in order[: settings.batch_size]]
        order = order[settings.batch_size :]
        rate = linear_decay(optimizers[which], settings.learning_rate, inner / steps)
        loss, accuracy, norm = _step(rows, batch, members[which], optimizers[which], settings.max_grad_norm)
        folder.metrics(
            {"step": step + 1, "steps": steps * len(members), "member": which, "loss": loss, "accuracy": accuracy}
            | {"learning_rate": rate, "grad_norm": norm}
        )
        folder.timing({"step": step + 1, "seconds": time.perf_counter() - started})
        if (step + 1) % settings.checkpoint_every == 0 and step + 1 < steps * len(members):
            state.save(folder, step + 1, {"sample": sample, "order": order})
    for member in members:
        member.requires_grad_(False)
    return members


def _step(
    rows: BranchStates,
    batch: Sequence[Comparison],
    member: RewardMember,
    optimizer: torch.optim.Optimizer,
    limit: float,
) -> tuple[float, float, float]:
    p_a = rows.model.decoder.embedding.new_tensor([c.p_a for c in batch])
    weight = rows.model.decoder.embedding.new_tensor([c.weight for c in batch])
    optimizer.zero_grad()
    score_a, score_b = _scores(rows, member, [c.a for c in batch] + [c.b for c in batch]).chunk(2)
    loss = bradley_terry_loss(score_a, score_b, p_a, weight) / weight.sum().clamp(min=1e-8)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    norm = clip_gradients([member], limit)
    optimizer.step()
    right = ((score_a > score_b) == (p_a > 0.5)).float().mean()
    return loss.item(), right.item(), norm


def _scores(rows: BranchStates, member: RewardMember, which: Sequence[int]) -> Tensor:
    """A member's scores of some rows; one without layers of its own reads pooled states that never change."""
    if member.layers == 0:
        return member.score(rows.features()[which])
    return member(rows.model.decoder, *rows.batch(which))  # type: ignore[no-any-return]  # calling a module is untyped


@torch.no_grad()
def score_rows(rows: BranchStates, members: Sequence[RewardMember], which: Sequence[int]) -> Tensor:
    """Scores `[M, len(which)]` of some rows under every member."""
    scores = rows.model.decoder.embedding.new_zeros(len(members), len(which))
    lengths = [len(rows.responses[row]) + len(rows.prompts[rows.prompt_of[row]]) for row in which]
    for group in by_length(lengths, SCORED_AT_ONCE):
        for index, member in enumerate(members):
            scores[index, group] = _scores(rows, member, [which[place] for place in group])
    return scores
