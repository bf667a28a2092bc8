"""Table of the replayed assignment of judgments."""

from markdown_rows import Found, interval, rows

NAMES = {"backstay": "our aggregate", "majority": "majority"}


def assignment(found: Found) -> str:
    """Judgments saved at equal accuracy, by set, policy and aggregator; and accuracy under attack."""
    level = str(found["level"])
    head = (
        f"Real judgments, replayed; {found['seeds']} seeds. The share of judgments that active assignment does without"
        f" at the accuracy that uniform assignment has with {level} votes an item; mean curves, interval by jackknife"
        " over seeds; below 0 = it needs more. `active`: the item is chosen, a random rater answers; `routed`: of the"
        " raters who really answered it, the most telling. The reference of llmfao is a model's verdict, not gold, and"
        " cf_amt is read as two classes. Parameters were chosen on four other UKP topics."
    )
    lines = [("set", "items", *(f"{policy}, {NAMES[a]}" for a in NAMES for policy in ("active", "routed")))]
    for name, row in found["sets"].items():
        cells = (interval(row[a][p]["saved"][level], 2) for a in NAMES for p in ("active", "routed"))
        lines.append((name, str(row["items"]), *cells))
    for key, words in (("of_all_judgments", "all judgments"), ("mean_of_sets", "mean of the sets")):
        cells = (interval(found["saved"][a][p][key], 2) for a in NAMES for p in ("active", "routed"))
        lines.append((words, "", *cells))
    return "\n\n".join(["## Judgments saved by active assignment, real crowds", head, rows(*lines), *_attacked(found)])


def _attacked(found: Found) -> list[str]:
    told = (
        f"**Simulated** attackers with {found['liars']:.0%} of the judgments; {found['attack_seeds']} seeds or more."
        f" Accuracy of uniform with {found['level']} votes an item, of a policy with as many judgments, with the fewer"
        " judgments that were enough without attackers, and where our aggregate is as sure as it was with these."
    )
    lines = [("set, attack, policy, aggregator", "uniform", "as many", "fewer", "as sure", "judgments to be as sure")]
    for name, row in found["sets"].items():
        for attack, by in row.get("attacked", {}).items():
            for aggregator, policies in by.items():
                for policy, cell in policies.items():
                    keys = ("uniform", "same_judgments", "fewer_judgments", "same_certainty")
                    figures = (f"{cell[key]['mean']:.3f}" for key in keys)
                    used = f"{cell['judgments_to_same_certainty']['mean']:.2f}"
                    lines.append((f"{name}, {attack}, {policy}, {NAMES[aggregator]}", *figures, used))
    return [told, rows(*lines)] if len(lines) > 1 else []
