"""Settings of policy optimisation: algorithm, reward, constraint, safeguards. Imports no torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backstay.learn.settings import Fraction, NonNegative, Positive, Rate
from backstay.records import Settings

Level = Literal["auto", "token", "response"]


class PpoSettings(Settings):
    """Policy optimisation on the reward, with safeguards."""

    algorithm: Literal["ppo", "rloo", "grpo", "reinforce++"] = "ppo"
    """`ppo` learns a critic; `rloo` and `grpo` compare `group` responses to the same prompt; `reinforce++` compares
    with the round's mean."""
    group: Positive = 1
    """Responses a prompt in a round; `rloo` and `grpo` need at least 2."""
    updates: Positive = 20
    """Rollout-and-learn rounds."""
    episodes: Positive = 48
    """Responses a round."""
    max_new_tokens: Positive = 24
    """Length limit of a response in tokens."""
    temperature: Rate = 0.7
    """Divisor of the logits in rollout, reference and training alike."""
    epochs: Positive = 2
    """Passes over a round's rollouts."""
    minibatches: Positive = 2
    """Optimizer steps a pass."""
    micro_batch: Positive = 12
    """Responses in memory at once; changes memory, never the numbers beyond rounding."""
    learning_rate: Rate = 1e-3
    """Learning rate of the policy."""
    value_learning_rate: Rate = 1e-3
    """Learning rate of the critics."""
    decay: Literal["none", "linear"] = "none"
    """`linear` lets both learning rates fall to zero over the updates, so that the policy comes to rest."""
    gamma: Fraction = 1.0
    """Discount a token."""
    lam: Fraction = 0.95
    """Lambda of GAE."""
    clip: Rate = 0.2
    """Clip range of the probability ratio."""
    dual_clip: NonNegative = 0.0
    """Bound on the loss of negative advantages, in multiples of the advantage; 0 = off, else above 1."""
    ratio: Level = "auto"
    """Whether the probability ratio is one a token or one a whole response; `auto` = as the algorithm's paper has
    it."""
    average: Level = "auto"
    """Whether the loss averages over tokens or over responses; `auto` = as the algorithm's paper has it."""
    critic: Literal["trunk", "reward"] = "trunk"
    """`trunk` reads values off the branch states; `reward` is a trained copy of the first reward member."""
    value_clip: NonNegative = 0.2
    """Clip range of the value update; 0 = off."""
    value_coefficient: Rate = 1.0
    """Weight of the value loss; value parameters are separate from the policy's."""
    kl_coefficient: NonNegative = 0.05
    """Initial weight of the k1 KL penalty a token; 0 = off."""
    kl_in: Literal["reward", "loss"] = "reward"
    """`reward` takes the k1 estimate from each token's reward, with an unbiased gradient; `loss` adds k3 to the loss,
    as the GRPO paper has it."""
    kl_target: NonNegative = 6.0
    """Nats a response that the adaptive coefficient aims at; 0 = fixed coefficient."""
    kl_horizon: Rate = 300.0
    """Episodes over which the adaptive coefficient reacts."""
    kl_stop: NonNegative = 0.15
    """Approximate KL (nats a token, new to old policy) that ends an update's remaining minibatches; 0 = off."""
    kl_budget: NonNegative = 8.0
    """Nats a response; above it the run rolls back to the last good checkpoint and ends; 0 = off."""
    no_eos_penalty: NonNegative = 1.0
    """Subtracted from the score of a response that did not end; 0 = off."""
    reward: Annotated[str, Field(pattern=r"^(ensemble|python:[^:]+:[^:]+|https?://.+)$")] = "ensemble"
    """`ensemble` (the members of the reward stage), `python:MODULE:FUNCTION`, `python:FILE.py:FUNCTION`, or the
    `http://` or `https://` address of a reward service."""
    reward_token_variable: str = ""
    """Environment variable that holds the reward service's bearer token; empty = none."""
    reward_timeout_s: Rate = 60.0
    """Seconds that a function, or each of three attempts at a service, has for one call."""
    combine: Literal["deviation", "uwo", "worst", "mean"] = "deviation"
    """How members become one score: mean - c * std, mean - c * variance, the lowest, or the mean."""
    uncertainty_penalty: NonNegative = 0.5
    """c in `deviation` and `uwo`; 0 = plain mean."""
    shaping: Literal["clip", "par"] = "clip"
    """`clip` bounds the score above the prompt's baseline by `reward_clip`; `par` is the mean over reference responses
    of sigmoid(score - reference score)."""
    reward_clip: NonNegative = 5.0
    """Bound on the absolute normalised score with `clip`; 0 = off."""
    max_failed_share: Fraction = 0.25
    """Share of a round's responses that may be without a finite score; above it training stops with an error."""
    cost_threshold: float | None = None
    """Mean cost a response that the policy may have, in the units of the cost model, where 0 lies between safe and
    harmful; null = no constraint."""
    multiplier_initial: Rate = 1.0
    """Lagrange multiplier at the start."""
    multiplier_max: Rate = 5.0
    """Bound of the multiplier; one that stays there sets off the alarm."""
    multiplier_rate: Rate = 0.1
    """Step of the multiplier in log space, a unit of cost above the threshold."""
    multiplier_gain: NonNegative = 1.0
    """Immediate answer of the multiplier in log space, a unit of cost above the threshold, which damps its swings;
    0 = off."""
    cost_window: Positive = 128
    """Latest responses over which mean cost is taken."""
    ptx_coefficient: NonNegative = 0.0
    """Weight of the loss on demonstrations that is mixed in; 0 = off."""
    ptx_batch: Positive = 8
    """Demonstrations an optimizer step."""
    max_grad_norm: NonNegative = 1.0
    """Gradient norm limit; 0 = off."""
    on_alarm: Literal["warn", "stop", "rollback"] = "rollback"
    """What a reward-hacking alarm does: a line in the log, an end, or an end with the last policy before it."""
    alarm_patience: Positive = 2
    """Rounds in a row that a monitor must be over its limit."""
    alarm_length: NonNegative = 2.0
    """Limit of mean response length, in multiples of the first round's; 0 = off."""
    alarm_repetition: NonNegative = 0.3
    """Limit of the rise of the share of repeated 3-grams since the first round; 0 = off."""
    alarm_refusal: NonNegative = 0.5
    """Limit of the rise of the share of refusals since the first round; 0 = off."""
    alarm_spread: NonNegative = 3.0
    """Limit of the ensemble's spread, in multiples of the first round's; 0 = off."""
    alarm_novelty: Fraction = 0.5
    """Limit of the share of responses whose latent states are unlike those of the first round; 0 = off."""
    alarm_divergence: NonNegative = 0.05
    """Limit of the reward's gain while gold gains nothing, from one window of probes to the next, as a share of all it
    has gained; 0 = off."""
    probe_prompts: Annotated[int, Field(ge=0)] = 0
    """Train prompts kept out of training, on which proxy and gold are compared; 0 = none: the round's own responses
    serve, where a gold score exists."""
    probe_every: Positive = 1
    """Rounds between probes."""
    held_out_members: Annotated[int, Field(ge=0)] = 0
    """Reward members that training never sees: their mean is the probe's gold where no gold rule exists; 0 = none."""
    checkpoint_every: Positive = 1
    """Updates between checkpoints."""
    seed: int = 4
    """Seed of prompts' order, sampling, initialisation and minibatches."""

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        if self.episodes % self.minibatches:
            raise ValueError(f"episodes ({self.episodes}) must be a multiple of minibatches ({self.minibatches})")
        if self.episodes % self.group:
            raise ValueError(f"episodes ({self.episodes}) must be a multiple of group ({self.group})")
        if self.algorithm in ("rloo", "grpo") and self.group < 2:
            raise ValueError(f"{self.algorithm} compares responses to the same prompt: set group to 2 or more")
        if 0 < self.dual_clip <= 1:
            raise ValueError(f"dual_clip ({self.dual_clip}) must be above 1, or 0 for none")
        if self.reward != "ensemble" and (self.critic == "reward" or self.held_out_members):
            raise ValueError(f"critic=reward and held_out_members need the ensemble, and reward is {self.reward!r}")
        if self.critic == "reward" and self.shaping == "par":
            raise ValueError("critic=reward starts on the scale of scores, which shaping=par leaves: use critic=trunk")
        if self.multiplier_initial > self.multiplier_max:
            raise ValueError(
                f"multiplier_initial ({self.multiplier_initial}) lies above multiplier_max ({self.multiplier_max})"
            )
        if self.kl_budget and self.kl_target > self.kl_budget:
            raise ValueError(f"kl_target ({self.kl_target}) lies above kl_budget ({self.kl_budget})")
        return self
