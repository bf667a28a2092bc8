"""Bradley-Terry: every response has a score, whoever voted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, cg

from backstay.aggregate.baselines.interface import BaselineFit, heads
from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Floats, Ints

RIDGE = 0.01
"""Weight of the squared scores; without it a response that never lost has no finite score."""
TOLERANCE = 1e-8
"""Stop when no derivative is larger, in votes."""
MAX_STEPS = 200
_HALVINGS = 40


@dataclass(frozen=True)
class Scores:
    """A score for each response (S) and the objective at each Newton step."""

    scores: Floats
    objective: list[float]
    converged: bool


def bradley_terry(columns: VoteColumns, seed: int = 0, *, ridge: float = RIDGE) -> BaselineFit:  # noqa: ARG001 - convex
    """Log-odds s_a - s_b of the penalised maximum likelihood (Bradley & Terry 1952), a tie as half a vote for each.

    Gold is ignored and raters are not rated. Scores of responses that no chain of votes joins cannot be compared: such
    a pair gets 0.
    """
    for_a, for_b = heads(columns)
    fit = fit_bradley_terry(columns.a, columns.b, for_a, for_b, columns.n_responses, ridge)
    joined = same_component(columns, np.flatnonzero(for_a + for_b > 0.0))
    log_odds = np.where(joined, fit.scores[columns.a] - fit.scores[columns.b], 0.0)
    return BaselineFit(log_odds, np.full(columns.n_raters, np.nan), len(fit.objective), fit.converged)


def same_component(columns: VoteColumns, voted: Ints) -> NDArray[np.bool_]:
    """Whether the two responses of each item (I) are joined by a chain of the items in `voted`."""
    if columns.n_responses == 0:
        return np.zeros(columns.n_items, dtype=np.bool_)
    shape = columns.n_responses, columns.n_responses
    graph = coo_array((np.ones(voted.size), (columns.a[voted], columns.b[voted])), shape=shape)
    _, component = connected_components(graph, directed=False)
    result: NDArray[np.bool_] = component[columns.a] == component[columns.b]
    return result


def fit_bradley_terry(a: Index, b: Index, for_a: Floats, for_b: Floats, n_responses: int, ridge: float) -> Scores:
    """Maximise sum for_a log s(d) + for_b log s(-d) - ridge / 2 |score|^2 with d = score_a - score_b, s the sigmoid.

    Newton steps by preconditioned conjugate gradients. The derivatives of the likelihood sum to zero over a connected
    component, so that at the optimum the scores of every component do too.
    """
    scores, objective = np.zeros(n_responses), list[float]()
    curvature, gradient = np.zeros(a.size), np.zeros(n_responses)
    value = _evaluate(a, b, for_a, for_b, scores, ridge, curvature, gradient)
    while np.max(np.abs(gradient), initial=0.0) > TOLERANCE and len(objective) < MAX_STEPS:
        objective.append(value)
        step = _newton_direction(a, b, curvature, gradient, ridge)
        size, old = 1.0, scores
        for _ in range(_HALVINGS):
            scores = old + size * step
            value = _evaluate(a, b, for_a, for_b, scores, ridge, curvature, gradient)
            if value >= objective[-1] - 1e-13 * abs(objective[-1]):
                break
            size /= 2.0
    objective.append(value)
    return Scores(scores, objective, bool(np.max(np.abs(gradient), initial=0.0) <= TOLERANCE))


def _newton_direction(a: Index, b: Index, curvature: Floats, gradient: Floats, ridge: float) -> Floats:
    """Solve (L + ridge) step = gradient, L the Laplacian of the comparison graph weighted by `curvature`."""
    size = gradient.size
    diagonal = ridge + np.bincount(a, curvature, size) + np.bincount(b, curvature, size)
    hessian = LinearOperator((size, size), matvec=lambda x: _laplacian(a, b, curvature, ridge, x), dtype=np.float64)
    jacobi = LinearOperator((size, size), matvec=lambda x: x / diagonal, dtype=np.float64)
    step, _ = cg(hessian, gradient, rtol=1e-6, maxiter=1000, M=jacobi)
    return np.asarray(step, dtype=np.float64)


@compiled
def _laplacian(a: Index, b: Index, curvature: Floats, ridge: float, x: Floats) -> Floats:
    result = ridge * x
    for item in range(a.size):
        flow = curvature[item] * (x[a[item]] - x[b[item]])
        result[a[item]] += flow
        result[b[item]] -= flow
    return result


@compiled
def _evaluate(
    a: Index,
    b: Index,
    for_a: Floats,
    for_b: Floats,
    scores: Floats,
    ridge: float,
    curvature: Floats,
    gradient: Floats,
) -> float:
    """The objective; overwrites the second derivative by item and the gradient by response."""
    value = 0.0
    for response in range(scores.size):
        value -= 0.5 * ridge * scores[response] ** 2
        gradient[response] = -ridge * scores[response]
    for item in range(a.size):
        d = scores[a[item]] - scores[b[item]]
        total = for_a[item] + for_b[item]
        small = np.exp(-abs(d))
        p_larger = 1.0 / (1.0 + small)
        p_a = p_larger if d >= 0.0 else small * p_larger
        value -= total * np.log1p(small) + (for_b[item] * d if d >= 0.0 else -for_a[item] * d)
        curvature[item] = total * small * p_larger * p_larger
        gradient[a[item]] += for_a[item] - total * p_a
        gradient[b[item]] -= for_a[item] - total * p_a
    return value
