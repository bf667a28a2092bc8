"""How often raters who act independently raise a bloc alarm, and what the alarm says of itself; one JSON line.

    python benchmarks/bloc_false_alarms.py [--crowds 100]

Simulated throughout: raters with accuracies uniform in 0.6 to 0.95 who all vote for themselves; and crowds in which a
fifth of the raters repeats one shared coin an item.
"""

import argparse
import json

import numpy as np

from backstay.aggregate import AggregateSettings, VoteColumns, fit_columns
from backstay.aggregate.alarm_rate import with_false_alarms
from backstay.aggregate.trust import groups_of

CROWDS = ((10, 100, 5), (24, 300, 5), (12, 40, 5), (50, 150, 4))
GOLD = (0.0, 0.1)
BLOC = 0.2
LEVEL = 0.05


def crowd(rng: np.random.Generator, shape: tuple[int, int, int], gold_share: float, bloc: float) -> VoteColumns:
    """Votes of `shape` (raters, items, votes an item)."""
    raters, items, per_item = shape
    truth, coin = rng.choice([-1, 1], items), rng.choice([-1, 1], items)
    rater = np.sort(np.argsort(rng.random((items, raters)), axis=1)[:, :per_item], axis=1).ravel()
    item = np.repeat(np.arange(items), per_item)
    right = rng.random(item.size) < rng.uniform(0.6, 0.95, raters)[rater]
    side = np.where(rater < round(bloc * raters), coin[item], np.where(right, truth[item], -truth[item]))
    return VoteColumns(
        start=np.arange(0, item.size + 1, per_item),
        rater=rater.astype(np.int32),
        side=side.astype(np.int8),
        shown=rng.choice([-1, 1], item.size).astype(np.int8),
        share=np.ones(item.size, dtype=np.float32),
        a=np.arange(0, 2 * items, 2, dtype=np.int32),
        b=np.arange(1, 2 * items, 2, dtype=np.int32),
        gold=np.where(rng.random(items) < gold_share, truth, 0).astype(np.int8),
        n_raters=raters,
        n_responses=2 * items,
    )


def alarms(columns: VoteColumns, settings: AggregateSettings) -> list[float]:
    """`false_alarms` of each bloc found."""
    fit = fit_columns(columns, settings)
    found = with_false_alarms(groups_of(columns, fit), columns, fit, settings)
    return [group.false_alarms for group in found if group.false_alarms is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowds", type=int, default=100)
    options = parser.parse_args()
    settings, found = AggregateSettings(), {}
    for shape in CROWDS:
        for gold in GOLD:
            alone = [alarms(crowd(np.random.default_rng(k), shape, gold, 0.0), settings) for k in range(options.crowds)]
            planted = [
                alarms(crowd(np.random.default_rng(k), shape, gold, BLOC), settings) for k in range(options.crowds)
            ]
            name = f"{shape[0]} raters, {shape[1]} items, {shape[2]} votes each, {gold:.0%} gold"
            found[name] = {
                "crowds": options.crowds,
                "independent_with_alarm": float(np.mean([bool(said) for said in alone])),
                "independent_at_most_0.05": float(np.mean([min(said, default=1.0) <= LEVEL for said in alone])),
                "bloc_with_alarm": float(np.mean([bool(said) for said in planted])),
                "bloc_at_most_0.05": float(np.mean([min(said, default=1.0) <= LEVEL for said in planted])),
            }
    print(json.dumps({"benchmark": "bloc_false_alarms", "figures": found}))


if __name__ == "__main__":
    main()
