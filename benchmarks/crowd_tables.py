"""Tables of the benchmarks on crowds: attacks, sleepers, raters who turn, alarms."""

from markdown_rows import Found, interval, rows


def aggregate_attacks(found: Found) -> str:
    """Accuracy under every attack, ours and the best of the others."""
    head = (
        f"Judgments are real (UKPConvArg1, sp_amt); the liars are **simulated**. {found['seeds']} seeds; a tenth of the"
        " gold answers is given as anchors, the rest scores. `best other` is the best of the other methods in that row,"
        " chosen with hindsight; `worst` is the worst of our seeds. `liar trusted less`: the chance that a liar is"
        " trusted less than an honest rater (AUROC), of all raters and of those with ten votes or more; `knowing all"
        " answers` is the same for somebody who knows every gold answer and counts."
    )
    said = ["## Whom to believe: real judgments, planted liars", head]
    for name, cases in found["results"].items():
        lines = [
            (
                "attack, share of judgments",
                "backstay",
                "worst",
                "best other",
                "majority",
                "liar trusted less",
                "of 10 votes or more",
                "knowing all answers",
                "named: liars, honest",
            )
        ]
        for case, row in cases.items():
            if case.startswith(("sleeper", "turn")):
                continue
            best = max((key for key in row if key in found["others"]), key=lambda key: row[key]["mean"])
            lines.append(
                (
                    case,
                    interval(row["backstay"]),
                    f"{row['backstay_worst']:.3f}",
                    f"{row[best]['mean']:.3f} ({best})",
                    f"{row['majority']['mean']:.3f}",
                    *(_mean(row, name) for name in ("auroc", "auroc_many", "auroc_known_answers")),
                    f"{row.get('liars_named', {'mean': 0.0})['mean']:.1%}, {row['honest_named']['mean']:.1%}",
                )
            )
        said += [f"### {name}", rows(*lines), _worst(cases, found["others"]), _sleepers(cases), _turned(cases)]
        said.append(_calibrated(cases))
    return "\n\n".join(said)


def _worst(cases: Found, others: list[str]) -> str:
    """The worst case over all attacks at 0.4, of every method."""
    adaptive = ("sleeper", "noisy", "push", "known", "turn")
    attacks = [row for case, row in cases.items() if case.endswith("-0.4") and not case.startswith(adaptive)]
    worst = {
        name: min(row[name]["mean"] for row in attacks if name in row)
        for name in ["backstay", *others]
        if name in attacks[0]
    }
    lines = [(name, f"{value:.3f}") for name, value in sorted(worst.items(), key=lambda item: -item[1])]
    return "Worst case over the five attacks at 0.4:\n\n" + rows(("method", "accuracy"), *lines)


def _sleepers(cases: Found) -> str:
    lines = [
        (
            "sleepers, share",
            "no audit",
            "backstay after the audit",
            "worst",
            "dawid-skene with the same answers",
            "pairs audited",
            "topics wrongly judged apart",
        )
    ]
    for case, row in cases.items():
        if case.startswith("sleeper"):
            lines.append(
                (
                    case.removeprefix("sleeper-"),
                    interval(row["unaudited"]),
                    interval(row["backstay"]),
                    f"{row['backstay_worst']:.3f}",
                    interval(row["dawid-skene with the same answers"]),
                    f"{row['pairs_audited_share']['mean']:.1%}",
                    f"{row['false_topics']['mean']:.1f}",
                )
            )
    return "Sleepers, accuracy on their topics; the (simulated) adjudicator errs in 5 %:\n\n" + rows(*lines)


def _turned(cases: Found) -> str:
    head = ("raters who turn, share", "changes not looked for", "backstay", "dawid-skene", "found", "honest named")
    lines = [
        (
            case.removeprefix("turn-"),
            *(interval(row[name]) for name in ("unsplit", "backstay", "dawid-skene")),
            f"{row['found']['mean']:.0%}",
            f"{row['honest_found']['mean']:.1%}",
        )
        for case, row in cases.items()
        if case.startswith("turn")
    ]
    told = "Honest in the first half of their votes and lying together in the second; found: of those with 16 or more:"
    return f"{told}\n\n{rows(head, *lines)}"


def _calibrated(cases: Found) -> str:
    lines = [(case, interval(row["ece"])) for case, row in cases.items() if "ece" in row]
    told = "Expected calibration error of scored pairs, at a temperature fitted to held-out anchors:"
    return f"{told}\n\n{rows(('attack, share', 'ECE'), *lines)}"


def _mean(row: Found, name: str) -> str:
    return f"{row[name]['mean']:.3f}" if name in row else ""


def bloc_false_alarms(found: Found) -> str:
    """Alarms of independent raters and of planted blocs."""
    names = ("independent_with_alarm", "independent_at_most_0.05", "bloc_with_alarm", "bloc_at_most_0.05")
    head = ("crowd", "no bloc: an alarm", "at most 0.05", "a bloc of a fifth: an alarm", "at most 0.05")
    lines = [(crowd, *(f"{row[name]:.0%}" for name in names)) for crowd, row in found["figures"].items()]
    crowds = next(iter(found["figures"].values()))["crowds"]
    told = (
        f"**Simulated**: {crowds} crowds a row. `at most 0.05`: the share of crowds with an alarm whose own"
        " `false_alarms`, the chance that independent raters show as much, is 0.05 or less."
    )
    return f"## Bloc alarms of raters who act independently\n\n{told}\n\n{rows(head, *lines)}"
