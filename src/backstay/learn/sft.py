"""Supervised fine-tuning: cross-entropy of the response tokens of demonstrations."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backstay.learn.batches import shuffled
from backstay.learn.branch_states import BranchStates
from backstay.learn.models.adapters import Adapter
from backstay.learn.models.language_model import LanguageModel
from backstay.learn.policies import new_adapter, response_logprobs
from backstay.learn.settings import ModelSettings, SftSettings
from backstay.learn.training_state import TrainingState, adamw, clip_gradients, linear_decay
from backstay.storage import RunFolder


@dataclass(frozen=True)
class Lesson:
    """A demonstration as tokens; the response ends with the stop token unless it was cut."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]


def train_sft(
    model: LanguageModel, lessons: Sequence[Lesson], shape: ModelSettings, settings: SftSettings, folder: RunFolder
) -> Adapter:
    """Train a policy adapter named `sft`, from the last checkpoint in `folder` if there is one.

    The loss of a step is divided by its number of response tokens, so it does not depend on how the batch is split.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    adapter = new_adapter(model.decoder, shape, "sft", (), generator)
    optimizer = adamw([adapter], settings.learning_rate)
    state = TrainingState({"sft": adapter}, {"sft": optimizer}, {"order": generator})
    steps = -(-len(lessons) // settings.batch_size) * settings.epochs
    resumed = state.resume(folder)
    done, order = (0, []) if resumed is None else (resumed[0], list(resumed[1]["order"]))
    rows = BranchStates(model, [x.prompt for x in lessons], [x.response for x in lessons], range(len(lessons)))
    for step in range(done, steps):
        started = time.perf_counter()
        order = order or shuffled(len(lessons), generator)
        batch, order = order[: settings.batch_size], order[settings.batch_size :]
        rate = linear_decay(optimizer, settings.learning_rate, step / steps)
        optimizer.zero_grad()
        loss = _loss(rows, batch, adapter)
        norm = clip_gradients([adapter], settings.max_grad_norm)
        optimizer.step()
        folder.metrics({"step": step + 1, "steps": steps, "loss": loss, "learning_rate": rate, "grad_norm": norm})
        folder.timing({"step": step + 1, "seconds": time.perf_counter() - started})
        if (step + 1) % settings.checkpoint_every == 0 and step + 1 < steps:
            state.save(folder, step + 1, {"order": order})
    return adapter


def _loss(rows: BranchStates, batch: Sequence[int], adapter: Adapter) -> float:
    dialogues, branch = rows.batch(batch, (adapter,))
    logprob = response_logprobs(rows.model.decoder, dialogues, branch, (adapter,))
    loss = -logprob.sum() / dialogues.response_B.sum()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return loss.item()
