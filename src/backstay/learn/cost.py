"""What each training stage costs: seconds from measured parts, bytes from sizes. No stage is run to find out.

Every estimate counts how many tokens pass how many layers, as the code of the stage does it, and multiplies by the
seconds of `MachineSpeed`. In arithmetic: a forward pass takes 2 P FLOP a token and layer of P weights, forward and
backward under LoRA 4 P (the gradient of frozen weights is never formed), full training 6 P, and the head 2 V D a token
for logits and as much again for their gradient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from backstay.learn.machine_speed import MachineSpeed
from backstay.learn.models.architecture import Architecture
from backstay.learn.ppo_settings import PpoSettings
from backstay.learn.reward_settings import RewardSettings
from backstay.learn.settings import SampleSettings, SftSettings

RESPONSE_SHARE = 0.65
"""Mean length of a sampled response, as a share of the limit; not known before the policy is trained."""
ROWS_KEPT = 1.15
"""Rows decoded, ended ones that were not dropped yet included, for each row that still goes on."""
GROUPED_SHARE = 0.85
"""Width of the responses in a micro-batch of similar length, as a share of the limit."""
FULL_TRAINING = 1.5
"""Forward and backward pass of full training, in those of LoRA: 6 P against 4 P."""
ADAM_S = 4e-9
"""Seconds of AdamW a trained weight and step: it streams five arrays through memory."""
STEP_S = 0.008
"""Seconds of an optimizer step whatever its size."""
SCORE_S = 1.5e-4
"""Seconds to pool the states of one response and read one member's score."""
WRITE_BYTES_A_S = 150e6
"""Bytes a second of checkpoints: written, hashed and flushed to the disk."""
LOAD_S = 1.5
"""Seconds to import the libraries and load model and tokenizer."""
LIBRARY_BYTES = 350 << 20
"""Resident bytes of Python and libraries before any weight is read."""
RETAINED_BYTES = 350 << 20
"""Resident bytes that the allocator keeps of earlier steps and stages of the same process."""
FORWARD_FLOATS = (6.0, 3.0)
"""Floats a token that a layer without gradients holds at its peak, in hidden and in inner widths."""
TRAIN_FLOATS = (14.0, 6.0)
"""Floats a token and layer that wait for the backward pass, in hidden and in inner widths."""
LOGIT_COPIES, LOGIT_COPIES_TRAINING = 4, 5
"""Arrays of the size of the logits that live at once."""
PROMPTS_AT_ONCE = 32
"""Prompts that run through the trunk together with all their responses, before training."""
TEXT_BYTES = 320
"""Bytes of one response in a jsonl file."""
VALUE_WIDTH = 128
FLOAT = 4


@dataclass(frozen=True)
class Estimate:
    """Wall seconds with nothing else running, peak resident bytes of the process, bytes that stay on disk."""

    seconds: float
    peak_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Base:
    """The base model as the estimates see it; `full` is whether whole weights are trained."""

    architecture: Architecture
    branch_layer: int
    lora_rank: int
    full: bool
    speed: MachineSpeed

    @property
    def top(self) -> int:
        """Layers from the branch up."""
        return self.architecture.n_layers - self.branch_layer

    @property
    def weight_bytes(self) -> int:
        """The frozen weights in float32."""
        a = self.architecture
        ends = a.vocab_size * a.hidden_size * (1 if a.tie_embeddings else 2)
        return FLOAT * (a.n_layers * a.layer_parameters + ends)

    @property
    def trained_weights(self) -> int:
        """Weights of one policy adapter: LoRA factors, or copies from the branch up."""
        a = self.architecture
        if self.full:
            ends = a.vocab_size * a.hidden_size if self.branch_layer == 0 or not a.tie_embeddings else 0
            return self.top * a.layer_parameters + ends
        return self.top * lora_weights(a, self.lora_rank)

    def member_layers(self, settings: RewardSettings) -> int:
        """Layers that a reward member runs."""
        return self.top if settings.layers == 0 and self.branch_layer == 0 else min(settings.layers, self.top)


def lora_weights(architecture: Architecture, rank: int) -> int:
    """Weights of a LoRA adapter on the seven projections of one layer: rank times the sum of inputs and outputs."""
    a = architecture
    attention = 2 * (a.hidden_size + a.query_size) + 2 * (a.hidden_size + a.key_value_size)
    return rank * (attention + 3 * (a.hidden_size + a.intermediate_size))


def widest(tokens: Sequence[int], batch: int) -> int:
    """The length that a random batch is padded to: the quantile that one of `batch` draws is expected to reach."""
    ordered = sorted(tokens)
    place = math.ceil(len(ordered) * batch / (batch + 1)) - 1
    return ordered[min(max(place, 0), len(ordered) - 1)]


def decode_seconds(base: Base, rows: int, limit: int, adapters: int) -> float:
    """Decode up to `limit` tokens for `rows` responses: each step calls every layer, and the head for rows left."""
    speed, layers = base.speed, base.architecture.n_layers
    calls = limit * (layers * speed.call_s + base.top * speed.adapter_s * adapters)
    decoded = min(1.0, RESPONSE_SHARE * ROWS_KEPT) * rows * limit
    return calls + decoded * (layers * speed.row_s + speed.head_s)


def sampling_seconds(
    base: Base, prompt_tokens: Sequence[int], responses: int, limit: int, batch: int, adapters: int
) -> float:
    """Sample `responses` to each prompt in batches of similar length; equal prompts of a batch are read once."""
    jobs = sorted(length for length in prompt_tokens for _ in range(responses))
    seconds = 0.0
    for start in range(0, len(jobs), batch):
        rows = jobs[start : start + batch]
        read = math.ceil(len(rows) / responses) * rows[-1]
        seconds += read * base.architecture.n_layers * base.speed.prefill_s + decode_seconds(
            base, len(rows), limit, adapters
        )
    return seconds


def sample_cost(base: Base, prompt_tokens: Sequence[int], settings: SampleSettings) -> Estimate:
    """The sample stage."""
    adapters = 1 if settings.policy == "sft" else 0
    seconds = sampling_seconds(
        base, prompt_tokens, settings.responses, settings.max_new_tokens, settings.batch_size, adapters
    )
    peak = decode_bytes(base, settings.batch_size, max(prompt_tokens) + settings.max_new_tokens)
    return _estimate(base, seconds, peak, TEXT_BYTES * len(prompt_tokens) * settings.responses)


def sft_cost(
    base: Base, prompt_tokens: Sequence[int], response_tokens: Sequence[int], settings: SftSettings
) -> Estimate:
    """The sft stage: every demonstration once through the trunk, then steps through the layers above and the head."""
    count, batch = len(prompt_tokens), min(settings.batch_size, len(prompt_tokens))
    width = widest(prompt_tokens, batch) + widest(response_tokens, batch)
    trunk = (sum(prompt_tokens) + count * max(response_tokens)) * base.branch_layer * base.speed.prefill_s
    mean = sum(response_tokens) / count
    steps = math.ceil(count / settings.batch_size) * settings.epochs
    step = train_seconds(base, batch * width, base.top) + batch * mean * base.speed.head_train_s
    optimizer = STEP_S + ADAM_S * base.trained_weights
    written = 3 * FLOAT * base.trained_weights * (steps // settings.checkpoint_every)
    peak = training_bytes(base, batch * width, base.top, batch * mean) + 4 * FLOAT * base.trained_weights
    seconds = trunk + steps * (step + optimizer) + written / WRITE_BYTES_A_S
    return _estimate(base, seconds, peak, FLOAT * base.trained_weights)


def reward_cost(
    base: Base, prompt_tokens: Sequence[int], responses: int, limit: int, pairs: int, settings: RewardSettings
) -> Estimate:
    """The reward stage: prompts and responses once through the trunk, then each member's epochs, its folds, its scores.

    Members of a cost model count as those of the reward, though they learn from responses and not from pairs.

    `limit` is the width that responses are padded to. Members without layers of their own read pooled states.
    """
    layers, speed, a = base.member_layers(settings), base.speed, base.architecture
    members = settings.members + settings.cost_members
    read = sum(prompt_tokens) + responses * limit
    rows = 2 * settings.batch_size
    width = widest(prompt_tokens, rows) + limit
    steps = members * math.ceil(pairs * (1 - settings.heldout_share) / settings.batch_size) * settings.epochs
    fitted = 1 + max(0, settings.folds - 1) / (1 - settings.heldout_share)
    member = layers * lora_weights(a, settings.lora_rank) + 32 * 5 * a.hidden_size
    step = STEP_S + ADAM_S * member + rows * (width * layers * speed.train_s + SCORE_S * (layers > 0))
    scored = members * responses * (width * layers * speed.prefill_s + SCORE_S * (layers > 0))
    written = 3 * FLOAT * member * members * (steps * fitted // settings.checkpoint_every)
    kept = FLOAT * a.hidden_size * (read if layers > 0 and base.branch_layer > 0 else 5 * responses)
    together = PROMPTS_AT_ONCE * responses / len(prompt_tokens)
    reading = forward_bytes(base, together * limit) + 2 * cache_bytes(base, base.branch_layer, together, width)
    peak = kept + max(reading, training_bytes(base, rows * width, layers, 0)) + 4 * FLOAT * member * members
    disk = FLOAT * (member * members + responses * 5 * a.hidden_size)
    seconds = read * base.branch_layer * speed.prefill_s + steps * fitted * step + 2 * scored
    return _estimate(base, seconds + written / WRITE_BYTES_A_S, peak, disk)


def scoring_seconds(
    base: Base, rows: int, width: float, limit: int, reward: RewardSettings, *, reference: bool
) -> float:
    """Score sampled responses: the reference's log-probabilities from the branch up, and every member."""
    layers = base.member_layers(reward)
    passes = (base.top if reference else 0) + reward.members * layers
    head = rows * limit * RESPONSE_SHARE * base.speed.head_s if reference else 0.0
    return rows * width * passes * base.speed.prefill_s + head + rows * reward.members * SCORE_S


def ppo_cost(base: Base, prompt_tokens: Sequence[int], reward: RewardSettings, settings: PpoSettings) -> Estimate:
    """The ppo stage: a round samples, scores and learns; one more round only measures. An early stop costs less.

    The reference is folded into a copy of the weights above the branch, so one adapter runs.
    """
    limit, episodes, speed = settings.max_new_tokens, settings.episodes, base.speed
    read = episodes * widest(prompt_tokens, episodes) * base.architecture.n_layers * speed.prefill_s
    grouped = GROUPED_SHARE if settings.micro_batch < episodes else 1.0
    width = widest(prompt_tokens, settings.micro_batch) + limit * grouped
    scored = scoring_seconds(base, episodes, width, limit, reward, reference=True)
    rollout = read + decode_seconds(base, episodes, limit, adapters=1) + scored
    epoch = train_seconds(base, episodes * width, base.top)
    epoch += episodes * limit * RESPONSE_SHARE * speed.head_train_s
    epoch += settings.minibatches * (STEP_S + ADAM_S * base.trained_weights)
    written = 5 * FLOAT * base.trained_weights * (settings.updates // settings.checkpoint_every)
    seconds = (settings.updates + 1) * rollout + settings.updates * settings.epochs * epoch
    at_once = min(settings.micro_batch, episodes)
    learning = training_bytes(base, at_once * width, base.top, at_once * limit * RESPONSE_SHARE)
    sampling = decode_bytes(base, episodes, widest(prompt_tokens, episodes) + limit)
    copies = FLOAT * (6 * base.trained_weights + base.top * base.architecture.layer_parameters)
    value = FLOAT * VALUE_WIDTH * base.architecture.hidden_size
    disk = FLOAT * base.trained_weights + value
    return _estimate(base, seconds + written / WRITE_BYTES_A_S, max(learning, sampling) + copies, disk)


def evaluate_cost(
    base: Base, prompt_tokens: Sequence[int], responses: int, limit: int, batch: int, reward: RewardSettings
) -> Estimate:
    """The evaluate stage: both policies answer every held-out prompt; the second is compared with the first."""
    rows, width = len(prompt_tokens) * responses, max(prompt_tokens) + limit
    seconds = 0.0
    for adapters, reference in ((1, False), (2, True)):
        seconds += sampling_seconds(base, prompt_tokens, responses, limit, batch, adapters)
        seconds += scoring_seconds(base, rows, width, limit, reward, reference=reference)
    head = LOGIT_COPIES * FLOAT * base.architecture.vocab_size * batch * limit * RESPONSE_SHARE
    peak = max(decode_bytes(base, batch, width), head + forward_bytes(base, batch * width))
    return _estimate(base, seconds, peak, 2 * TEXT_BYTES * rows)


def train_seconds(base: Base, tokens: float, layers: int) -> float:
    """Forward and backward pass of some tokens through some layers, without the head."""
    return tokens * layers * base.speed.train_s * (FULL_TRAINING if base.full else 1.0)


def forward_bytes(base: Base, tokens: float) -> float:
    """Peak of a layer without gradients."""
    a = base.architecture
    return FLOAT * tokens * (FORWARD_FLOATS[0] * a.hidden_size + FORWARD_FLOATS[1] * a.intermediate_size)


def decode_bytes(base: Base, rows: int, positions: int) -> float:
    """Peak of sampling: keys and values twice, since dropping rows copies them, and the logits of one step."""
    cached = cache_bytes(base, base.architecture.n_layers, rows, positions)
    logits = LOGIT_COPIES * FLOAT * rows * base.architecture.vocab_size
    return max(2 * cached + logits, cached + forward_bytes(base, rows * positions))


def cache_bytes(base: Base, layers: int, rows: float, positions: int) -> float:
    """Keys and values of some layers."""
    return 2 * FLOAT * layers * rows * positions * base.architecture.key_value_size


def training_bytes(base: Base, tokens: float, layers: int, head_rows: float) -> float:
    """Peak of a backward pass: what every layer keeps for it, and the logits of response tokens with their gradient."""
    a = base.architecture
    floats = TRAIN_FLOATS[0] * a.hidden_size + TRAIN_FLOATS[1] * a.intermediate_size
    return FLOAT * (tokens * layers * floats + LOGIT_COPIES_TRAINING * head_rows * a.vocab_size)


def _estimate(base: Base, seconds: float, peak: float, disk: float) -> Estimate:
    return Estimate(LOAD_S + seconds, round(LIBRARY_BYTES + RETAINED_BYTES + base.weight_bytes + peak), round(disk))
