"""Frozen features that a linear reward can use: what was answered, and what was answered to what."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def principal_components(x: Floats, count: int) -> Floats:
    """Scores of the first `count` principal components of N rows, each at unit variance; fewer if N or F is smaller."""
    centred = x - x.mean(0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    usable = int(np.sum(scale > 1e-9 * max(scale[0], 1e-300))) if len(scale) else 0
    kept = min(count, usable)
    scores: Floats = left[:, :kept] * np.sqrt(len(x))
    return scores


def interaction_features(
    response: Floats, prompt: Floats, *, components: int = 96, meeting: tuple[int, int] = (16, 8)
) -> Floats:
    """`[N, components + r * p]`: components of the responses, and products of their first r with the prompts' first p.

    Without the products no linear score could prefer a refusal to one prompt and an answer to another.
    """
    of_response = principal_components(response, components)
    of_prompt = principal_components(prompt, meeting[1])
    products = of_response[:, : meeting[0], None] * of_prompt[:, None, :]
    return np.concatenate((of_response, products.reshape(len(response), -1)), axis=1)
