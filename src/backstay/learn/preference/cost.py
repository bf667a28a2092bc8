"""What the dpo stage costs, before it runs; the parts are those of `learn/cost.py`."""

import math
from collections.abc import Sequence

from backstay.learn.cost import (
    ADAM_S,
    FLOAT,
    LIBRARY_BYTES,
    LOAD_S,
    PROMPTS_AT_ONCE,
    RETAINED_BYTES,
    STEP_S,
    WRITE_BYTES_A_S,
    Base,
    Estimate,
    cache_bytes,
    decode_bytes,
    decode_seconds,
    forward_bytes,
    train_seconds,
    training_bytes,
    widest,
)
from backstay.learn.preference_settings import DpoSettings

MEAN_SHARE = 0.65
"""Mean length of a response, as a share of the longest."""


def dpo_cost(
    base: Base, prompt_tokens: Sequence[int], responses: int, limit: int, pairs: int, settings: DpoSettings
) -> Estimate:
    """Every response once through trunk and reference, then steps on both responses of each pair, and the probes of KL.

    `limit` is the width of the longest response. KTO reads each response twice, the second time with another's prompt.
    """
    speed, layers = base.speed, base.architecture.n_layers
    copies = 2 if settings.loss == "kto" else 1
    read = sum(prompt_tokens) + copies * responses * limit
    width = widest(prompt_tokens, 2 * settings.micro_batch) + limit
    forward = width * base.top * speed.prefill_s + limit * MEAN_SHARE * speed.head_s
    steps = math.ceil(pairs / settings.batch_size) * settings.epochs
    rows = 2 * pairs * settings.epochs
    learned = train_seconds(base, rows * width, base.top) + rows * limit * MEAN_SHARE * speed.head_train_s
    learned += (copies - 1) * rows * forward + steps * (STEP_S + ADAM_S * base.trained_weights)
    probes = 0 if settings.kl_every == 0 else math.ceil(steps / settings.kl_every)
    probe = settings.kl_samples * (widest(prompt_tokens, settings.kl_samples) * layers * speed.prefill_s + forward)
    probe += decode_seconds(base, settings.kl_samples, settings.max_new_tokens, adapters=1)
    written = 5 * FLOAT * base.trained_weights * (steps // settings.checkpoint_every)
    seconds = read * base.branch_layer * speed.prefill_s + copies * responses * forward + learned + probes * probe
    peak = _peak(base, prompt_tokens, copies * responses, limit, width, read, settings)
    return Estimate(
        LOAD_S + seconds + written / WRITE_BYTES_A_S,
        round(LIBRARY_BYTES + RETAINED_BYTES + base.weight_bytes + peak),
        FLOAT * base.trained_weights,
    )


def _peak(
    base: Base,
    prompt_tokens: Sequence[int],
    rows: int,
    limit: int,
    width: int,
    read: int,
    settings: DpoSettings,
) -> float:
    """Kept branch states, the folded copy of the layers above, the adapter with its copies, and the widest moment."""
    kept = FLOAT * base.architecture.hidden_size * read if base.branch_layer else 0
    together = PROMPTS_AT_ONCE * rows / len(prompt_tokens)
    reading = forward_bytes(base, together * limit) + 2 * cache_bytes(base, base.branch_layer, together, width)
    at_once = 2 * settings.micro_batch
    learning = training_bytes(base, at_once * width, base.top, at_once * limit * MEAN_SHARE)
    probing = decode_bytes(base, settings.kl_samples, max(prompt_tokens) + settings.max_new_tokens)
    copies = FLOAT * (6 * base.trained_weights + base.top * base.architecture.layer_parameters)
    return kept + copies + max(reading, learning, probing)
