"""Estimators of KL(policy || reference) from sampled tokens, and the controller of its coefficient.

With r = p_ref(x) / p_policy(x) and x drawn from the policy (Schulman 2020, "Approximating KL divergence"):
k1 = -log r, unbiased; k2 = (log r)^2 / 2, biased, low variance; k3 = r - 1 - log r, unbiased, never negative.
k1 belongs in the reward: there its policy gradient is unbiased. k3 measures how far a round's steps went. With
`ppo.kl_in: loss` it is trained on too, as the GRPO paper has it; its gradient as a loss is not that of
KL(policy || reference) but, at the policy that sampled, that of KL(reference || policy).
"""

from torch import Tensor


def k1(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """Log p_policy - log p_ref a token, in nats; may be negative for a single token, and must not be clamped."""
    return logprob - reference_logprob


def k2(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """Half the squared log-ratio a token, in nats."""
    return (logprob - reference_logprob).square() / 2


def k3(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """R - 1 - log r a token, in nats, with log r bounded to +-20 against overflow."""
    log_ratio = (reference_logprob - logprob).clamp(-20, 20)
    return log_ratio.exp() - 1 - log_ratio


def next_coefficient(coefficient: float, observed: float, *, target: float, horizon: float, episodes: int) -> float:
    """The adaptive KL coefficient of Ziegler et al. 2019, section 2.2: proportional in log space, error within +-0.2.

    `observed` and `target` are nats a response; `target` 0 leaves the coefficient as it is.
    """
    if target == 0:
        return coefficient
    error = max(-0.2, min(0.2, observed / target - 1))
    return coefficient * (1 + error * episodes / horizon)
