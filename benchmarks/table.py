"""docs/benchmarks.md from the JSON in benchmarks/results/: the only way a figure gets there."""

import json
from pathlib import Path
from typing import Any

from assignment_table import assignment
from crowd_tables import aggregate_attacks, bloc_false_alarms
from markdown_rows import Found, interval, rows

RESULTS = Path(__file__).parent / "results"
TABLE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD = """\
# Benchmarks

Made by `python benchmarks/run.py` from what the scripts printed; the command below each table makes it again.
Raters and the gold rule of the demo are **simulated**: programs that stand in for people.
"""


def table() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            found = json.loads(file.read_text())
            parts.append(
                f"{section(found)}\n\n`python benchmarks/{found['command']}`, {found['date']}, {found['measured_on']}\n"
            )
    return "\n".join(parts)


def share(row: Found) -> str:
    """An accuracy with its interval, in per cent."""
    return f"{row['accuracy']:.1%} ({row['low']:.1%} to {row['high']:.1%})"


def demo(found: Found) -> str:
    """The demo."""
    trust, gold, items = found["liars_least_trusted"], found["gold"], found["held_out_gold_items"]
    main = rows(
        ("what", "figure (95 % interval)"),
        ("wall seconds of `backstay run`, all stages", f"{found['wall_s']:.0f}"),
        ("peak memory, GiB", f"{found['peak_gib']}"),
        ("gold rule on held-out prompts, SFT", interval(gold["before"])),
        ("gold rule on held-out prompts, after PPO", interval(gold["after"])),
        ("difference", interval(found["gold_difference"])),
        ("wins against SFT by gold rule", interval(found["win_rate"])),
        ("KL to SFT, nats a response", interval(found["kl_nats"], 2)),
        ("refuses harmful requests, before and after", _pair(found["refusal"])),
        ("refuses harmless requests, before and after", _pair(found["over_refusal"])),
        ("reward ensemble on held-out pairs, against raters' labels", share(found["reward_heldout"])),
        ("the same against the gold rule", share(found["reward_heldout"]["gold"])),
        ("held-out gold items: majority, reliability", _gold_items(items)),
        (
            "flipping and colluding raters among as many least trusted",
            f"{trust['among_the_lowest']} of {trust['liars']}",
        ),
        ("`backstay plan`, estimate / measured: time, peak memory", _plan(found)),
    )
    stages = rows(("stage", "seconds"), *[(name, f"{s:.1f}") for name, s in found["stage_s"].items()])
    shares = sorted({row["share"] for row in found["label_flip"]})
    by = {(row["share"], row["arm"]): share(row) for row in found["label_flip"]}
    attack = rows(
        ("raters that flip", "majority, no screening", "reliability and screening"),
        *[(f"{s:.0%}", by[s, "undefended"], by[s, "defended"]) for s in shares],
    )
    under = "Reward accuracy on clean held-out pairs under attack:"
    return f"## The demo (simulated raters)\n\n{main}\n\n{stages}\n\n{under}\n\n{attack}"


def _pair(sides: Found) -> str:
    return f"{sides['before']:.0%}, {sides['after']:.0%}"


def _gold_items(items: Found) -> str:
    return f"{items['majority_accuracy']:.1%}, {items['reliability_accuracy']:.1%} of {items['items']}"


def _plan(found: Found) -> str:
    ratios = (found["plan_s_ratio"], found["plan_peak_ratio"])
    return ", ".join("no estimate" if ratio is None else f"{ratio:.2f}" for ratio in ratios)


def lexicon(found: Found) -> str:
    """PPO alone."""
    every = range(0, len(found["score"]), 2)
    curve = rows(
        ("update", *[str(u) for u in every]),
        ("score", *[f"{found['score'][u]:.2f}" for u in every]),
        ("KL, nats a response", *[f"{found['kl_nats'][u]:.1f}" for u in every]),
    )
    return (
        "## PPO alone, against a word list\n\n"
        f"{found['updates']} updates of 48 episodes x 16 tokens: {found['cpu_s']:.0f} CPU-seconds, "
        f"{found['wall_s']:.0f} seconds on {found['threads']} threads (threads that wait for each other count as CPU). "
        f"A plain prototype of the same shape, with other words and prompts, on one thread of another processor: 190 "
        f"CPU-seconds for 8 updates, 0.08 to 0.33 at 2.9 nats; 500 for 20, 0.55 at 5.4 nats.\n\n{curve}"
    )


def human_pairs(found: Found) -> str:
    """Real human pairs."""
    folds, words = found["reward_folds"], found["bag_of_words"]
    every = [row for row in found["ppo"] if row["update"] % 2 == 0]
    main = rows(
        ("what", "figure (95 % interval)"),
        ("wall seconds from import to policy", f"{found['wall_s']:.0f}"),
        ("peak memory, GiB", f"{found['peak_gib']}"),
        (f"reward ensemble, {folds['folds']}-fold cross-validation over prompts, {folds['pairs']} pairs", share(folds)),
        (f"linear bag of words, same folds, {words['pairs']} pairs", share(words)),
        ("PPO ended", f"{found['ppo_end']['reason']} at {found['ppo_end']['kl_nats']:.2f} nats a response"),
    )
    curve = rows(
        ("update", *[str(row["update"]) for row in every]),
        ("reward", *[f"{row['reward_mean']:.2f}" for row in every]),
        ("KL, nats a response", *[f"{row['kl_nats']:.2f}" for row in every]),
    )
    under = "The reward that PPO optimises, which is no evidence of quality:"
    return f"## Human preference pairs (hh-rlhf, harmless-base test)\n\n{main}\n\n{under}\n\n{curve}"


def flat(title: str) -> Any:
    """A section that shows the JSON as it is."""
    return lambda found: f"## {title}\n\n```json\n{json.dumps(_figures(found), indent=1)}\n```"


def _figures(found: Found) -> Found:
    return {key: value for key, value in found.items() if key not in ("command", "date", "measured_on")}


def overoptimisation(found: Found) -> str:
    """Gold under pressure on a proxy, in the small world."""
    lines = []
    for name, row in found["conditions"].items():
        lost = row["lost_at_alarm"]
        told = f"{row['alarms']} of {found['seeds']}; " + (f"at most {max(lost):.0%}" if lost else "-")
        kept = f"{_mean(row['retained']):.0%} (worst {min(row['retained']):.0%})"
        lines.append((name, spread(row["peak"]), spread(row["final"]), kept, f"{row['fell']}", told))
    head = ("condition", "gold, peak", "gold, end", "end / peak", "runs that fell", "alarms; gold lost by then")
    accuracy = found["reward_accuracy"]
    told = (
        f"Synthetic throughout; {found['seeds']} seeds, mean and 95 % interval, in deviations of gold under the base "
        f"policy. A run fell when gold lost a tenth of its peak. Reward models are right on "
        f"{spread(accuracy['single'])} (one) and {spread(accuracy['ensemble'])} (ensemble) of clean comparisons."
    )
    return f"## Over-optimisation in small\n\n{rows(head, *lines)}\n\n{told}"


def lagrangian(found: Found) -> str:
    """Thresholds held, and what is gained over fixed mixtures."""
    lines = [
        (f"{threshold}", spread(cost, 3), f"{miss:.1%}", f"{held} of {found['seeds']}", spread(reward), spread(gain, 3))
        for threshold, cost, miss, held, reward, gain in zip(
            found["thresholds"],
            found["cost"],
            found["worst_relative_miss"],
            found["held"],
            found["reward"],
            found["gain_over_mixtures"],
            strict=True,
        )
    ]
    head = ("threshold", "cost reached", "worst miss", "within 5 %", "reward", "over fixed mixtures at equal cost")
    mixtures = "; ".join(f"cost {cost:.2f} reward {reward:.2f}" for cost, reward in found["mixtures"])
    told = f"Synthetic; {found['seeds']} seeds, mean and 95 % interval. Fixed mixtures reached: {mixtures}."
    return f"## PPO-Lagrangian in small\n\n{rows(head, *lines)}\n\n{told}"


def algorithms(found: Found) -> str:
    """Every algorithm from the demo's data."""
    lines = [
        (name, *(spread(row[key]) for key in ("before", "after", "gain", "kl_nats", "reward_gain")))
        for name, row in found["table"].items()
    ]
    head = ("algorithm", "gold before", "gold after", "gain", "KL, nats a response", "reward gained")
    told = (
        f"SmolLM2-135M-Instruct, {found['seeds']} training seeds, mean and 95 % interval over seeds, held-out prompts; "
        f"raters are simulated and gold is the author-written rule. KL budget {found['kl_budget']:g} nats for all."
    )
    return f"## Algorithms on the demo's data\n\n{rows(head, *lines)}\n\n{told}"


def trl_oracle(found: Found) -> str:
    """Differences of losses to TRL's."""
    lines = [(name, f"{gap:.1e}") for name, gap in sorted(found["difference"].items())]
    told = f"TRL {found['trl']} on the same model and batch, float32; accepted below {found['limit']:g}."
    return f"## Losses against TRL\n\n{rows(('loss', 'largest difference'), *lines)}\n\n{told}"


def spread(figures: list[float], digits: int = 2) -> str:
    """Mean (low to high)."""
    mean, low, high = figures
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def rigged_source(found: Found) -> str:
    """Ranks of a pushed source."""
    lines = [("share of judges who push", "Bradley-Terry", "Elo", "robust", "named first")]
    for share, row in found["planted_share"].items():
        shown = [_triple(row[key]) for key in ("bt_rank", "elo_rank", "robust_rank")]
        lines.append((share, *shown, f"{row['named_first'][0]:.0%} of seeds"))
    return "\n\n".join(
        ["## Rigging one source: its rank of 13, honestly 10", f"**Simulated**: {found['simulated']}.", rows(*lines)]
    )


def _triple(value: list[float]) -> str:
    return f"{value[0]:.1f} ({value[1]:.1f} to {value[2]:.1f})"


def screen_duplicates(found: Found) -> str:
    """Recall of edited copies by threshold."""
    thresholds = ("0.9", "0.7", "0.5")
    head = ("words changed", "mean similarity", *[f"found at {t}" for t in thresholds])
    lines = [
        (
            f"{float(edit):.0%}",
            f"{row['similarity_mean']:.2f}",
            *[f"{row[t]['recall']:.1%}, {_of_true(row[t])} of similar ones" for t in thresholds],
        )
        for edit, row in found["edits"].items()
    ]
    false = sum(row[t]["false"] for row in found["edits"].values() for t in thresholds)
    speed = found["speed"]
    told = (
        f"**Synthetic** texts: {found['background_pairs']:,} pairs of 60 words and {found['copies']:,} edited copies, "
        f"half of them with swapped answers; {false} findings on other pairs or copies below the threshold, over all "
        f"cells. Copies as similar as the threshold demands are told by brute force. At "
        f"{speed['pairs']:,} pairs: {speed['cpu_s']:.1f} CPU-seconds, {speed['mb_above_the_texts']} MB more."
    )
    return f"## Near-duplicate pairs\n\n{rows(head, *lines)}\n\n{told}"


def _of_true(row: Found) -> str:
    return "none" if row["recall_of_true"] is None else f"{row['recall_of_true']:.1%}"


SECTIONS = {
    "demo": demo,
    "ppo-lexicon": lexicon,
    "algorithms": algorithms,
    "overoptimisation": overoptimisation,
    "lagrangian": lagrangian,
    "trl-oracle": trl_oracle,
    "hh-rlhf": human_pairs,
    "aggregate-attacks": aggregate_attacks,
    "bloc-false-alarms": bloc_false_alarms,
    "aggregate-reward": flat("What liars with 30 % of the judgments cost a reward model (planted in real judgments)"),
    "assignment": assignment,
    "rigged-source": rigged_source,
    "aggregate-speed": flat("Speed of aggregation, simulated votes"),
    "screen-poison": flat("Poison in real pairs: planted triggers and flipped labels"),
    "screen-duplicates": screen_duplicates,
    "screen-hh": flat("Screening on real human pairs: false positives"),
    "guard-gateway": flat(
        "The guard: CPU a request and a streamed token, beside a bare proxy (synthetic texts of 2 kB)"
    ),
    "guard-soak": flat("The guard under load for minutes (synthetic texts)"),
    "guard-policy": flat("The guard: microseconds a decision"),
    "guard-scan": flat("The guard: scanning, milliseconds of CPU (made-up texts, and texts made to hurt)"),
    "guard-stream": flat("The guard: redaction in a stream against the redaction of the whole"),
    "guard-danger": flat("The guard: danger in SQL, shell and Python (cases of our own)"),
    "guard-personal": flat(
        "The guard: personal data in presidio-research's synthetic sentences, rows not developed on"
    ),
    "guard-audit": flat("The guard: its ledger, full syncs"),
    "guard-approvals": flat("The guard: random schedules of approvals with deaths, violations by invariant"),
    "guard-replay": flat("The guard: replay of recorded decisions"),
    "console-load": flat("The console: 200 simulated raters on SQLite, the server killed three times"),
    "console-load-postgresql": flat("The console: the same on PostgreSQL"),
    "console-scale": flat("The console: server time with many judgments in the database (synthetic)"),
    "console-scale-5m": flat("The console: the same with five million judgments (synthetic)"),
    "import-export": flat("Imports and exports of synthetic judgments"),
    "import-export-1m": flat("The same with a million judgments"),
    "journal": flat("Appending to the journal, full syncs (synthetic judgments)"),
    "guard-footprint": flat("What the extra guard alone costs"),
}
