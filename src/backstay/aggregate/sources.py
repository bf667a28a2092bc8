"""Sources of responses (policies, models) ranked from pairwise votes, and the source that a share of raters pushes.

What a rater gives a source beyond expectation is the rater's offset. Honest offsets scatter about alike for every
source; a pushed source has a far tail. An alarm bans nobody: it names the source, the raters that make the tail, and
how often honest raters would look so. docs/aggregate/rigging.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm

from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.robust import MAD_TO_DEVIATION
from backstay.aggregate.source_scores import (
    Cells,
    Comparisons,
    Flags,
    cells_of,
    centred,
    dense_cells,
    draw_scores,
    fit_scores,
    fit_slopes,
    newcomers,
    robust_scores,
)
from backstay.aggregate.votes import Floats, Ints, Votes

LEAST_INFORMATION = 1.0
"""Information of a rater on a source, in nats^-2, from which on its offset counts as evidence; about four votes."""

LEAST_RATERS = 5
"""Raters below which nothing is said of a source."""

LEAST_SOURCES = 5
"""Sources below which the dispersion is compared with what honest offsets have by the model, not with each other's."""

MAX_SQUARE = 25.0
"""Cap of one rater's squared z in the dispersion, so that one odd rater is no alarm."""


@dataclass(frozen=True)
class SourceAlarm:
    """A source that some raters judge unlike the rest do.

    `kind`: "raters", whose offsets scatter beyond those of other sources, or "newcomers", raters with few votes each
    who together differ from the others. `z` is robust; `p_value`, the chance that the votes of honest raters reach it
    for any source. `raters` and `offsets` in log-odds: those far from the centre (none named for newcomers).
    """

    source: str
    kind: Literal["raters", "newcomers"]
    direction: Literal["up", "down"]
    z: float
    p_value: float
    raters: tuple[int, ...] = ()
    offsets: tuple[float, ...] = ()


@dataclass(frozen=True)
class SourceRanking:
    """Scores of S sources in log-odds, higher is better: `plain` Bradley-Terry and `robust`, the same unless `dense`.

    `dispersion_z` is NaN where too few raters judged the source, `newcomers_z` 0 unless dense. `component`: sources of
    different components were not compared even by a chain, and their scores must not be. `false_alarm_rate`: share of
    simulated honest data sets in which a dispersion reaches `alarm_z`.
    """

    names: tuple[str, ...]
    votes: Floats
    plain: Floats
    robust: Floats
    dense: bool
    component: Ints
    dispersion_z: Floats
    newcomers_z: Floats
    false_alarm_rate: float
    alarms: tuple[SourceAlarm, ...]


def rank_sources(
    columns: VoteColumns,
    source: Sequence[str | None],
    *,
    min_cell_votes: float = 10.0,
    min_cell_raters: int = 10,
    alarm_z: float = 5.0,
    alarm_rate: float = 0.01,
    simulations: int = 199,
    seed: int = 0,
) -> SourceRanking:
    """Rank the sources of the S' responses (`source`; None = unknown, left out).

    Robust where dense: raters with `min_cell_votes` votes on a source, at least `min_cell_raters` of them, hold half of
    the votes. An alarm needs a z of `alarm_z` and a chance of at most `alarm_rate` under honesty, which takes at least
    1 / `alarm_rate` - 1 simulations.
    """
    names, votes = comparisons_of(columns, source)
    one, start = np.ones(columns.n_raters), np.zeros(len(names))
    plain = fit_scores(votes, one, np.ones((one.size, start.size)), start)
    tie = float(np.mean(votes.score == 0.5)) if votes.score.size else 0.0
    scores, slope = plain, fit_slopes(votes, plain, one)
    cells = cells_of(votes, slope, plain, tie)
    dense = dense_cells(cells.votes, min_cell_votes, min_cell_raters)
    enough = bool(cells.votes[dense].sum() > 0.5 * cells.votes.sum())
    together = start
    if enough:
        scores, slope, cells = robust_scores(votes, plain, slope, tie, dense)
        together = newcomers(cells, dense)
    z = dispersion(cells)
    highest = honest_dispersions(votes, scores, slope, tie, cells, simulations, seed)
    alarms = _pushed_by_raters(names, z, highest, cells, alarm_z, alarm_rate)
    alarms += _pushed_by_newcomers(names, together, alarm_z, alarm_rate)
    rate = float(np.mean(highest >= alarm_z)) if highest.size else 0.0
    component = _components(votes, len(names))
    return SourceRanking(
        names, cells.votes.sum(axis=0), plain, scores, enough, component, z, together, rate, tuple(alarms)
    )


def sources_by_response(votes: Votes, columns: VoteColumns, source_of: Mapping[str, str]) -> list[str | None]:
    """The source of each of the columns' responses, from that of each response id."""
    result: list[str | None] = [None] * columns.n_responses
    for i, item in enumerate(votes.items):
        result[int(columns.a[i])] = source_of.get(item.a)
        result[int(columns.b[i])] = source_of.get(item.b)
    return result


def comparisons_of(columns: VoteColumns, source: Sequence[str | None]) -> tuple[tuple[str, ...], Comparisons]:
    """Names of the sources, sorted, and the votes between two different ones."""
    names = tuple(sorted({name for name in source if name is not None}))
    number = {name: k for k, name in enumerate(names)}
    code = np.array([-1 if name is None else number[name] for name in source], dtype=np.int32)
    item = columns.item
    first, second = code[columns.a[item]], code[columns.b[item]]
    kept = (first >= 0) & (second >= 0) & (first != second)
    return names, Comparisons(
        columns.rater[kept], first[kept], second[kept], (columns.side[kept] + 1.0) / 2.0,
        columns.share[kept].astype(np.float64),
    )  # fmt: skip


def source_ranks(scores: Floats) -> Ints:
    """Rank of each source, 1 = best; equal scores share the better rank."""
    better: Ints = np.sum(scores[None, :] > scores[:, None], axis=1).astype(np.int64)
    return 1 + better


def source_summary(ranking: SourceRanking) -> dict[str, Any]:
    """The ranking, best first, and its alarms as JSON data; raters are counted, not named."""
    plain, robust = source_ranks(ranking.plain), source_ranks(ranking.robust)
    return {
        "dense": ranking.dense,
        "all_comparable": bool(np.all(ranking.component == ranking.component[:1])),
        "false_alarm_rate": ranking.false_alarm_rate,
        "sources": [
            {
                "source": ranking.names[s],
                "votes": float(ranking.votes[s]),
                "component": int(ranking.component[s]),
                "score": float(ranking.robust[s]),
                "rank": int(robust[s]),
                "plain_score": float(ranking.plain[s]),
                "plain_rank": int(plain[s]),
                "dispersion_z": None if np.isnan(ranking.dispersion_z[s]) else float(ranking.dispersion_z[s]),
                "newcomers_z": float(ranking.newcomers_z[s]),
            }
            for s in np.argsort(-ranking.robust, kind="stable")
        ],
        "alarms": [
            {
                "source": alarm.source,
                "kind": alarm.kind,
                "direction": alarm.direction,
                "z": alarm.z,
                "p_value": alarm.p_value,
                "raters": len(alarm.raters),
            }
            for alarm in ranking.alarms
        ],
    }


def evident(cells: Cells) -> Flags:
    """Cells (R, S) with enough information to count as evidence."""
    result: Flags = cells.information >= LEAST_INFORMATION
    return result


def dispersion(cells: Cells) -> Floats:
    """Mean squared offset over raters in units of the honest scatter, as a robust z (S) among sources.

    NaN for a source with fewer than `LEAST_RATERS`.
    """
    chosen = evident(cells)
    count = chosen.sum(axis=0)
    known = count >= LEAST_RATERS
    result = np.full(count.size, np.nan)
    if not known.any():
        return result
    found = centred(cells, chosen)
    square = np.where(chosen, np.minimum((found.offset / found.spread) ** 2, MAX_SQUARE), 0.0)
    mean = square.sum(axis=0)[known] / count[known]
    few = mean.size < LEAST_SOURCES
    excess = mean - (1.0 if few else np.median(mean))
    # The square of a normal value has variance 2: no z may come from sources that agree by luck.
    among = 0.0 if few else MAD_TO_DEVIATION * np.median(np.abs(excess))
    result[known] = excess / np.maximum(np.sqrt(2.0 / count[known]), among)
    return result


def honest_dispersions(
    votes: Comparisons, scores: Floats, slope: Floats, tie: float, cells: Cells, simulations: int, seed: int
) -> Floats:
    """The highest dispersion of each simulated honest data set.

    Its votes follow the fitted scores, slopes and share of ties, with tastes that scatter as measured.
    """
    taste = centred(cells, evident(cells)).taste
    rng = np.random.default_rng(seed)
    highest, drawn = np.zeros(simulations), np.empty(votes.score.size)
    for k in range(simulations):
        own = rng.normal(0.0, taste, cells.votes.shape)
        draw_scores(votes, slope, scores, own, tie, rng.random(drawn.size), drawn)
        simulated = cells_of(votes._replace(score=drawn), slope, scores, tie)
        highest[k] = np.nanmax(np.append(dispersion(simulated), 0.0))
    return highest


def _pushed_by_raters(
    names: tuple[str, ...], z: Floats, highest: Floats, cells: Cells, alarm_z: float, alarm_rate: float
) -> list[SourceAlarm]:
    """Alarms, strongest first, with the raters beyond what the farthest honest one reaches in 99 of 100 cases."""
    chosen, alarms = evident(cells), list[SourceAlarm]()
    found = centred(cells, chosen)
    for s in np.argsort(-np.nan_to_num(z)):
        p_value = float((1 + np.sum(highest >= z[s])) / (1 + highest.size))
        if not (z[s] >= alarm_z and p_value <= alarm_rate):
            continue
        bound = float(norm.isf(0.005 / int(chosen[:, s].sum())))
        far = np.flatnonzero(chosen[:, s] & (np.abs(found.offset[:, s]) > bound * found.spread[:, s]))
        offsets = found.offset[far, s]
        direction: Literal["up", "down"] = "up" if offsets.sum() >= 0.0 else "down"
        named = tuple(int(r) for r in far), tuple(float(x) for x in offsets)
        alarms.append(SourceAlarm(names[s], "raters", direction, float(z[s]), p_value, *named))
    return alarms


def _pushed_by_newcomers(
    names: tuple[str, ...], together: Floats, alarm_z: float, alarm_rate: float
) -> list[SourceAlarm]:
    alarms = list[SourceAlarm]()
    for s in np.argsort(-np.abs(together)):
        z = float(abs(together[s]))
        p_value = min(2.0 * together.size * float(norm.sf(z)), 1.0)
        if z >= alarm_z and p_value <= alarm_rate:
            alarms.append(SourceAlarm(names[s], "newcomers", "up" if together[s] > 0.0 else "down", z, p_value))
    return alarms


def _components(votes: Comparisons, n_sources: int) -> Ints:
    if n_sources == 0:
        return np.zeros(0, dtype=np.int64)
    graph = coo_array((np.ones(votes.rater.size), (votes.first, votes.second)), shape=(n_sources, n_sources))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
