"""Training ensembles of reward or cost models on weighted lessons."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from backstay.learn.batches import by_length, shuffled
from backstay.learn.bradley_terry import bootstrap_rows
from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Lesson, lesson_loss, lesson_rows
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.scalar_models import RewardMember, new_member
from backstay.learn.training_state import TrainingState, adamw, clip_gradients, linear_decay
from backstay.storage import RunFolder

SCORED_AT_ONCE = 64


def train_ensemble(
    rows: BranchStates, lessons: Sequence[Lesson], settings: RewardSettings, folder: RunFolder
) -> list[RewardMember]:
    """Train all members, each on its own bootstrap of `lessons`, going on from the last checkpoint in `folder`."""
    return train_members(rows, [lessons] * settings.members, settings, folder, bootstrap=True)


def train_members(
    rows: BranchStates,
    curricula: Sequence[Sequence[Lesson]],
    settings: RewardSettings,
    folder: RunFolder,
    *,
    bootstrap: bool,
) -> list[RewardMember]:
    """Train a member on each of `curricula`, one after the other; with `bootstrap`, on as many draws from its own.

    Goes on from the last checkpoint in `folder`, exactly.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    members = [
        new_member(rows.model.decoder, layers=settings.layers, rank=settings.lora_rank, generator=generator)
        for _ in curricula
    ]
    optimizers = [adamw([m], settings.learning_rate, weight_decay=settings.weight_decay) for m in members]
    names = [f"member-{index}" for index in range(len(members))]
    state = TrainingState(
        dict(zip(names, members, strict=True)), dict(zip(names, optimizers, strict=True)), {"order": generator}
    )
    resumed = state.resume(folder)
    done, at = (0, {}) if resumed is None else resumed
    plan = [
        (which, inner, steps)
        for which, steps in enumerate(-(-len(own) // settings.batch_size) * settings.epochs for own in curricula)
        for inner in range(steps)
    ]
    sample, order = list(at.get("sample", [])), list(at.get("order", []))
    for step, (which, inner, steps) in enumerate(plan[done:], start=done):
        started = time.perf_counter()
        lessons = curricula[which]
        if inner == 0:
            drawn = bootstrap_rows(len(lessons), generator).tolist() if bootstrap else range(len(lessons))
            sample, order = list(drawn), []
        order = order or shuffled(len(sample), generator)
        batch = [lessons[sample[i]] for i in order[: settings.batch_size]]
        order = order[settings.batch_size :]
        rate = linear_decay(optimizers[which], settings.learning_rate, inner / steps)
        loss, accuracy, norm = _step(rows, batch, members[which], optimizers[which], settings)
        folder.metrics(
            {"step": step + 1, "steps": len(plan), "member": which, "loss": loss, "accuracy": accuracy}
            | {"learning_rate": rate, "grad_norm": norm}
        )
        folder.timing({"step": step + 1, "seconds": time.perf_counter() - started})
        if (step + 1) % settings.checkpoint_every == 0 and step + 1 < len(plan):
            state.save(folder, step + 1, {"sample": sample, "order": order})
    for member in members:
        member.requires_grad_(False)
    return members


def _step(
    rows: BranchStates,
    batch: Sequence[Lesson],
    member: RewardMember,
    optimizer: torch.optim.Optimizer,
    settings: RewardSettings,
) -> tuple[float, float, float]:
    optimizer.zero_grad()
    scores = _scores(rows, member, lesson_rows(batch))
    loss, right = lesson_loss(scores, batch, margin=settings.margin, label_smoothing=settings.label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    norm = clip_gradients([member], settings.max_grad_norm)
    optimizer.step()
    return loss.item(), right, norm


def _scores(rows: BranchStates, member: RewardMember, which: Sequence[int]) -> Tensor:
    """A member's scores of some rows; one without layers of its own reads pooled states that never change."""
    if member.layers == 0:
        features = rows.features()[which]
        return member.score(features, features.new_tensor([len(rows.responses[row]) for row in which]))
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
