"""What of our recipe neither of the other trainers has a word for."""

from backstay.learn.rewards.reward_address import without_secrets
from backstay.learn.run_specs.spec import Facts, Missing

BY_SERVICE = frozenset(
    {"combine", "uncertainty_penalty", "shaping", "reward_clip", "no_eos_penalty", "held_out_members"}
)
"""Settings of ppo that the reward service applies before a score leaves it."""
LOCAL_ONLY = frozenset({"checkpoint_every", "reward_token_variable", "reward_timeout_s"})
"""Settings of ppo that say how a run is carried out here, and change nothing of what is learned."""
MULTIPLIER = ("multiplier_initial", "multiplier_max", "multiplier_rate", "multiplier_gain", "cost_window")
ALARMS = (
    *("alarm_patience", "alarm_length", "alarm_repetition", "alarm_refusal", "alarm_spread", "alarm_novelty"),
    "alarm_divergence",
)
BUDGET = (
    "no hard budget and no rollback: watch their KL and end the run by hand. What the reward service can do is its "
    "gate: where members disagree or a response is unlike those that were rated, it gives the lowest member's score"
)
NO_ALARM = "no reward-hacking alarm: spread, gate and cost of the service are logged by the trainer"
FIXED_PRICE = "no Lagrange multiplier: the service takes the price that the run ended with off the score, and keeps it"
OTHER_CRITIC = (
    "not carried over: our value model is a small head on frozen states, theirs is a whole model; their own default "
    "is kept"
)
FAILURES = "training does not stop: a response without a finite score gets the lowest one seen when the gate was set"


def common_gaps(facts: Facts) -> tuple[Missing, ...]:
    """What neither of the trainers has a word for."""
    return (*_limits(facts), *_learning(facts), *_safeguards(facts), *_reward(facts), *_layers(facts))


def _gap(facts: Facts, setting: str, what: str) -> Missing:
    owner, _, name = setting.partition(".")
    value = str(getattr(facts.model if owner == "model" else facts.ppo, name))
    return Missing(setting, without_secrets(value), what)


def _limits(facts: Facts) -> list[Missing]:
    settings, found = facts.ppo, []
    if settings.kl_budget:
        found.append(_gap(facts, "ppo.kl_budget", BUDGET))
    if settings.kl_stop:
        found.append(_gap(facts, "ppo.kl_stop", "no early end of an update's remaining minibatches"))
    if settings.kl_in == "loss" and settings.kl_coefficient and settings.kl_target:
        found.append(_gap(facts, "ppo.kl_target", "the weight of a KL in the loss stays as it is"))
        found.append(_gap(facts, "ppo.kl_horizon", "goes with `ppo.kl_target`"))
    return found


def _learning(facts: Facts) -> list[Missing]:
    settings, found = facts.ppo, [_gap(facts, "ppo.value_learning_rate", OTHER_CRITIC)]
    if settings.decay != "none":
        found.append(_gap(facts, "ppo.decay", "learning rates stay constant to the end"))
    if settings.algorithm == "ppo":
        found.append(_gap(facts, "ppo.critic", "their value model is a whole model of its own, not this one"))
    if settings.ptx_coefficient:
        found.append(_gap(facts, "ppo.ptx_coefficient", "no loss on demonstrations is mixed in"))
        found.append(_gap(facts, "ppo.ptx_batch", "goes with `ppo.ptx_coefficient`"))
    if facts.ratio == "response":
        found.append(_gap(facts, "ppo.ratio", "the ratio is taken a token, not a response"))
    return found


def _safeguards(facts: Facts) -> list[Missing]:
    settings, found = facts.ppo, [_gap(facts, "ppo.on_alarm", NO_ALARM)]
    on = [name for name in ALARMS if getattr(settings, name)]
    found += [_gap(facts, f"ppo.{name}", "goes with `ppo.on_alarm`") for name in on]
    found.append(_gap(facts, "ppo.probe_every", "no probes: nothing compares reward and gold while it trains"))
    if settings.probe_prompts:
        found.append(_gap(facts, "ppo.probe_prompts", "none is kept out: every train prompt is trained on"))
    if settings.cost_threshold is not None:
        found.append(_gap(facts, "ppo.cost_threshold", FIXED_PRICE))
        found += [_gap(facts, f"ppo.{name}", "goes with `ppo.cost_threshold`") for name in MULTIPLIER]
    return found


def _reward(facts: Facts) -> list[Missing]:
    settings, found = facts.ppo, []
    if settings.reward != "ensemble":
        what = "the service serves the ensemble of the reward stage, not this reward"
        found.append(_gap(facts, "ppo.reward", what))
    if settings.max_failed_share < 1:
        found.append(_gap(facts, "ppo.max_failed_share", FAILURES))
    return found


def _layers(facts: Facts) -> list[Missing]:
    if not facts.model.branch_layer:
        return []
    what = {
        "lora": "adapters sit on all layers, not only on those from the branch layer up",
        "full": "all layers are trained, not only those from the branch layer up",
    }
    train = facts.model.train
    return [_gap(facts, "model.branch_layer", what[train])] if train in what else []
