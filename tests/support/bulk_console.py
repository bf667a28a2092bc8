"""A console's database filled in bulk with synthetic judgments by simulated raters, as the console itself leaves it.

The journal's chain is sound. Rows go to SQLite past the ledger, since millions of them are wanted.
"""

import json
import math
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from backstay.feedback.collection import ProjectSettings
from backstay.feedback.collection.certainty import ANSWERS
from backstay.feedback.collection.items import Item, as_json
from backstay.feedback.collection.submission import iso_time
from backstay.feedback.collection.tally import settled
from backstay.records import Dimension, Message, Prompt, Rater, Response, Task, canonical_json, content_id, sha256_hex
from backstay.storage import open_database
from backstay.storage.batch import batch_digest
from backstay.storage.journal import entry_hash, judgment_payload
from backstay.storage.tables import metadata, searchable

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000 // DAY_MS * DAY_MS
PROJECT, DATASET = "synthetic", "synthetic"
CHUNK = 20_000
TRUST = 0.75
BETA = (6.0, 2.0)
Tally = tuple[Counter[str], list[list[str | float]]]
LANGUAGES = ("de", "en", "pt", "sw")


class Crowd:
    """Simulated raters: most are good, some careless, one in twenty lies; a few lean to the first response."""

    def __init__(self, raters: int, rng: random.Random) -> None:
        self.ids = [f"r-{n:05d}" for n in range(raters)]
        self.accuracy = [rng.uniform(0.72, 0.95) if n % 20 > 2 else rng.uniform(0.5, 0.65) for n in range(raters)]
        for n in range(7, raters, 20):
            self.accuracy[n] = 0.2
        self.lean = [0.25 if n % 25 == 4 else 0.0 for n in range(raters)]
        self.seconds = [rng.lognormvariate(2.3, 0.4) for _ in range(raters)]
        self.language = ["xx" if n < 3 else LANGUAGES[n % 4] for n in range(raters)]
        self.counts: list[Counter[str]] = [Counter() for _ in range(raters)]
        self.pace: list[Counter[str]] = [Counter() for _ in range(raters)]
        self.days: list[Counter[int]] = [Counter() for _ in range(raters)]
        self.last = [START_MS] * raters


class Filler:
    """Fills one new database."""

    def __init__(self, path: Path, judgments: int, raters: int, seed: int = 1, days: int = 60) -> None:
        open_database(path, create=True).dispose()
        self.db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("synchronous=OFF", "cache_size=-4000000", "locking_mode=EXCLUSIVE", "temp_store=MEMORY"):
            self.db.execute(f"PRAGMA {pragma}")
        self.rng = random.Random(seed)
        self.judgments, self.crowd = judgments, Crowd(raters, self.rng)
        self.settings = ProjectSettings(gold_share=0.05, repeat_share=0.02, pay_per_hour=18.0)
        self.gold_votes = min(30, raters // 2)
        gold = max(2, judgments // 20 // self.gold_votes)
        self.voted = gold + max(0, judgments - gold * self.gold_votes) // self.settings.votes
        self.gold_every = max(1, self.voted // gold)
        self.items = self.voted + max(20, self.voted // 10)
        gold_items = -(-self.voted // self.gold_every)
        total = gold_items * self.gold_votes + (self.voted - gold_items) * self.settings.votes
        self.step_ms = days * DAY_MS / max(1, total)
        self.seq, self.hash, self.done = 0, "", 0
        self.rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.patterns: Counter[str] = Counter()
        self.gold: dict[str, list[int]] = {}

    def fill(self) -> None:
        """Write everything."""
        self.db.execute("BEGIN")
        indexes = self.db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            self.db.execute(f'DROP INDEX "{name}"')  # Ids are hashes: an index is built faster once all rows are there.
        self._project()
        for start in range(0, self.items, CHUNK // 4):
            self._chunk(range(start, min(self.items, start + CHUNK // 4)))
            self._flush()
        self._totals()
        self._flush()
        for _, made in indexes:
            self.db.execute(made)
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.close()

    def _project(self) -> None:
        settings = canonical_json(self.settings.model_dump(mode="json")).decode()
        name = "Synthetic preferences, simulated raters"
        self._row("projects", PROJECT, name, DATASET, settings, "open", "lead", START_MS)
        crowd = self.crowd
        people = [
            Rater(id=rater, display_name=rater, simulated=True, cohort={"language": language})
            for rater, language in zip(crowd.ids, crowd.language, strict=True)
        ]
        self._records("raters", ((person.id, person.to_json()) for person in people))

    def _chunk(self, places: Iterable[int]) -> None:
        texts: dict[str, list[tuple[str, str]]] = {"prompts": [], "responses": [], "tasks": []}
        for place in places:
            prompt_id = content_id("prompt", place)
            responses = (content_id("response", [place, 0]), content_id("response", [place, 1]))
            asked = Message(role="user", content=f"Synthetic question {place}: which tide is higher?")
            prompt = Prompt.model_construct(id=prompt_id, messages=(asked,), source="synthetic", split="train", tags={})
            texts["prompts"].append((prompt_id, prompt.to_json()))
            for n, found in enumerate(responses):
                told = f"Synthetic answer {n} to question {place}. The *spring* tide is higher."
                made = Response(id=found, prompt_id=prompt_id, text=told, policy="synthetic")
                texts["responses"].append((found, made.to_json()))
            task = Task(id=content_id("task", place), prompt_id=prompt_id, response_ids=responses)
            texts["tasks"].append((task.id, task.to_json()))
            self._item(place, prompt_id, responses, task.id)
        for table, rows in texts.items():
            self._records(table, rows)

    def _item(self, place: int, prompt_id: str, responses: tuple[str, str], task_id: str) -> None:
        item_id, truth = content_id("item", place), self.rng.randrange(2)
        asked: dict[Dimension, str] = {"overall": task_id}
        is_gold = place < self.voted and place % self.gold_every == 0
        votes = self.gold_votes if is_gold else self.settings.votes
        counts: Counter[str] = Counter()
        ballots: list[list[str | float]] = []
        if place < self.voted:
            for rater in self.rng.sample(range(len(self.crowd.ids)), votes):
                self._judgment(item_id, prompt_id, task_id, rater, truth, (counts, ballots), is_gold)
        kept = {"overall": dict(sorted(counts.items()))} if counts else {}
        belief = {"overall": ballots} if ballots else {}
        total = sum(counts.values())
        item = settled(
            Item(PROJECT, item_id, prompt_id, responses, asked, "open", total, 3, 0, kept, belief, math.log(2.0)),
            self.settings,
        )
        if counts:
            self.patterns[",".join(f"{name}:{n}" for name, n in kept["overall"].items())] += 1
        tasks = canonical_json(asked).decode()
        at = int(sha256_hex(f"{PROJECT} {item_id}".encode())[:16], 16) >> 2
        self._row("items", PROJECT, item_id, prompt_id, as_json(list(responses)), tasks, item.state,
                  item.votes, item.wants, 0, as_json(kept), as_json(belief), None, item.priority, at)  # fmt: skip
        if is_gold:
            right = counts["0>1" if truth == 0 else "1>0"]
            self._row("gold_items", PROJECT, item_id, "overall", truth, "active", total, right, "lead", START_MS, "")

    def _judgment(
        self, item_id: str, prompt_id: str, task_id: str, rater: int, truth: int, kept: Tally, is_gold: bool
    ) -> None:
        counts, ballots = kept
        crowd, rng, number = self.crowd, self.rng, self.done
        self.done += 1
        at_ms = START_MS + int(number * self.step_ms)
        first = rng.randrange(2)
        best = truth if rng.random() < crowd.accuracy[rater] else 1 - truth
        best = first if rng.random() < crowd.lean[rater] else best
        label = "tie" if rng.random() < 0.04 else f"{best}>{1 - best}"
        duration_ms = int(1000 * crowd.seconds[rater] * rng.lognormvariate(0.0, 0.5))
        agreed = self._counted(rater, label, best == first, truth if is_gold else None, counts, duration_ms, at_ms)
        counts[label] += 1
        ballots.append([crowd.ids[rater], ANSWERS[label], *BETA])
        judgment_id = f"{at_ms >> 16:08x}-{at_ms & 0xFFFF:04x}-7{number >> 32 & 0xFFF:03x}-8000-{number:012x}"
        at, ranking = iso_time(at_ms), "[[0,1]]" if label == "tie" else f"[[{best}],[{1 - best}]]"
        record = (
            f'{{"choice":{{"both_bad":false,"ranking":{ranking}}},"client":"backstay.synthetic","created_at":"{at}",'
            f'"duration_ms":{duration_ms},"flags":[],"id":"{judgment_id}","order_shown":[{first},{1 - first}],'
            f'"rater_id":"{crowd.ids[rater]}","rationale":"","strength":null,"task_id":"{task_id}"}}'
        )
        payload, before = judgment_payload(DATASET, record), self.hash
        self._entry("judgment", payload)
        row = (DATASET, judgment_id, self.seq, record, task_id, crowd.ids[rater], before, self.hash)
        self._row("judgments", *row)
        answer: dict[str, Any] = {
            "agreed": agreed,
            "duration_ms": duration_ms,
            "first": None if label == "tie" else best == first,
        }
        answer |= {"given": {}, "gold": {}, "labels": {"overall": label}, "same": None, "trust": TRUST}
        self._row("assignments", judgment_id, PROJECT, item_id, prompt_id, crowd.ids[rater], f"[{first},{1 - first}]",
                  "gold" if is_gold else "vote", "active", 0.01, 0, at_ms - duration_ms, at_ms + 900_000, "judged",
                  f"k-{judgment_id}", None, at_ms, json.dumps(answer), f'["{judgment_id}"]', None, None)  # fmt: skip

    def _counted(
        self,
        rater: int,
        label: str,
        was_first: bool,
        gold: int | None,
        counts: Counter[str],
        duration_ms: int,
        at_ms: int,
    ) -> bool | None:
        crowd, told = self.crowd, self.crowd.counts[rater]
        most = counts.most_common(2)
        agreed = most[0][0] == label if most and (len(most) == 1 or most[0][1] > most[1][1]) else None
        told["judged"] += 1
        told["decided"] += label != "tie"
        told["chose_first"] += label != "tie" and was_first
        told["compared"] += agreed is not None
        told["agreed"] += bool(agreed)
        told["gold_seen"] += gold is not None
        told["gold_right"] += gold is not None and label == f"{gold}>{1 - gold}"
        told["worked", at_ms // DAY_MS] += duration_ms  # type: ignore[index]  # one counter holds both kinds of keys
        crowd.pace[rater][str(math.floor(math.log2(max(1, duration_ms)) * 4))] += 1
        crowd.days[rater][at_ms // DAY_MS] += 1
        crowd.last[rater] = at_ms
        return agreed

    def _totals(self) -> None:
        crowd = self.crowd
        for pattern, n in self.patterns.items():
            self._row("vote_patterns", PROJECT, "overall", pattern, n)
        for n, rater in enumerate(crowd.ids):
            told = crowd.counts[n]
            if told["judged"]:
                names = ("gold_seen", "gold_right", "repeats", "repeats_same", "compared", "agreed", "decided")
                figures = [told[name] for name in (*names, "chose_first")]
                trust = (TRUST, 0.42, 0.96, None, START_MS, crowd.last[n])
                pace = json.dumps(crowd.pace[n], sort_keys=True)
                self._row(
                    "rater_stats",
                    PROJECT,
                    rater,
                    "active",
                    told["judged"],
                    told["judged"],
                    n % 5,
                    n % 3,
                    *figures,
                    pace,
                    *trust,
                )
            for day, judged in crowd.days[n].items():
                worked = told["worked", day]  # type: ignore[index]  # one counter holds both kinds of keys
                self._row("rater_days", PROJECT, rater, day, judged, worked)

    def _records(self, table: str, pairs: Iterable[tuple[str, str]]) -> None:
        found = dict(pairs)
        told = {"dataset": DATASET, "table": table, "count": len(found), "digest": batch_digest(found)}
        self._entry("records", canonical_json(told).decode())
        for row_id, record in found.items():
            rest = [value for name, value in searchable(table, json.loads(record)).items() if name != "id"]
            self._row(table, DATASET, row_id, self.seq, record, *rest)

    def _entry(self, kind: str, payload: str) -> None:
        self.seq += 1
        before = self.hash
        self.hash = entry_hash(self.seq, kind, payload, before)
        self._row("journal", self.seq, kind, payload, before, self.hash)

    def _row(self, table: str, *values: Any) -> None:
        self.rows[table].append(values)

    def _flush(self) -> None:
        for table, rows in self.rows.items():
            names = [column.name for column in metadata.tables[table].columns]
            places = ", ".join("?" * len(names))
            self.db.executemany(f"INSERT INTO {table} ({', '.join(_quoted(names))}) VALUES ({places})", rows)
        self.rows.clear()


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def fill_console(path: Path, judgments: int, raters: int, seed: int = 1, days: int = 60) -> None:
    """Fill a new database at `path` with a project `synthetic` on a data set of that name."""
    Filler(path, judgments, raters, seed, days).fill()
