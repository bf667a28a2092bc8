"""A harvest as a folder: tasks.jsonl, prompts.jsonl, redteam.jsonl, policy_tests.yaml, and a manifest of them all."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from backstay.errors import UsageError
from backstay.guard.harvest.defences import Bounds, bursts, chosen
from backstay.guard.harvest.kept_exchange import KeptRow
from backstay.guard.harvest.policy_cases import policy_cases
from backstay.guard.harvest.redacting import Redactor, leaves
from backstay.guard.harvest.redteam_cases import RedTeamCase, cases_of
from backstay.guard.harvest.store import HarvestStore
from backstay.guard.harvest.tasks import tasks_of
from backstay.policy import PolicyBundle
from backstay.records import Record, canonical_json, sha256_hex
from backstay.records.production import LABEL, ProductionTask
from backstay.storage.atomic import atomic_file

Kind = Literal["tasks", "redteam", "both"]
R = TypeVar("R", bound=Record)


@dataclass
class HarvestReport:
    """What a harvest took, wrote and left out."""

    exchanges: int
    principals: int
    files: dict[str, str]
    """SHA-256 by name."""
    counts: dict[str, int]
    left_out: Counter[str] = field(default_factory=Counter)

    def payload(self) -> dict[str, Any]:
        """As JSON data."""
        return {**vars(self), "left_out": dict(self.left_out)}


@dataclass(frozen=True)
class Harvest:
    """How a harvest is made; `since_ms` is a Unix time, 0 = everything that is kept."""

    kind: Kind = "both"
    since_ms: int = 0
    bounds: Bounds = field(default_factory=Bounds)
    policy: PolicyBundle | None = None

    def write(self, store: HarvestStore, folder: Path, now_ms: int) -> HarvestReport:
        """Write a harvest into a new or empty folder, readable by its owner only, and note it in the journal.

        Raises UsageError where the folder holds something, or too few principals stand behind what is kept.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty", cure="name a new folder")
        rows = store.rows(now_ms, self.since_ms)
        principals = len({row.kept.principal for row in rows})
        if principals < self.bounds.min_principals:
            raise UsageError(
                f"{principals} principals stand behind what is kept, fewer than {self.bounds.min_principals}",
                cure="wait for more, or lower --min-principals",
            )
        made = _Made(store, folder)
        self._fill(made, rows)
        taken = [row.kept.exchange for row in made.rows]
        report = HarvestReport(len(taken), principals, made.files, made.counts, made.left_out)
        manifest = {"label": LABEL, "kind": self.kind, "taken": taken, **report.payload()}
        made.write("manifest.json", [canonical_json(manifest)])
        store.note_harvest(dict(made.files), len(taken))
        return report

    def _fill(self, made: "_Made", rows: Sequence[KeptRow]) -> None:
        found = chosen(rows, self.bounds)
        made.rows = found.rows
        made.left_out.update(over_cap=found.over_cap, repeated=found.repeated)
        suspect = bursts((thumb for row in rows for thumb in row.thumbs), self.bounds.burst)
        made.counts["suspect_thumbs"] = len(suspect)
        if self.kind != "redteam":
            tasks = tasks_of(found.rows, made.store, suspect)
            made.left_out["no_task"] = tasks.unfit
            made.records("tasks.jsonl", tasks.tasks, task_contents)
            made.records("prompts.jsonl", tasks.prompts, lambda one: [turn.content for turn in one.messages])
        if self.kind != "tasks":
            cases = [case for row in found.rows for case in cases_of(row)]
            made.records("redteam.jsonl", cases, case_contents)
            tests = policy_cases(found.rows, self.policy, lambda request: made.clean(leaves(request)))
            made.left_out.update(tests_over=tests.over, tests_changed=tests.changed, unclean=tests.unclean)
            made.counts["policy_tests.yaml"] = tests.total
            made.write("policy_tests.yaml", [tests.text().encode()])


class _Made:
    """Writes files, and drops every record in which anything is left that must not leave."""

    def __init__(self, store: HarvestStore, folder: Path) -> None:
        self.store, self._folder, self._redactor = store, folder, Redactor()
        self.rows: tuple[KeptRow, ...] = ()
        self.files: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.left_out: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def clean(self, texts: Sequence[str]) -> bool:
        """Whether nothing that must not leave is in these texts, alone or together."""
        return self._redactor.clean(texts)

    def records(self, name: str, records: Sequence[R], contents: Callable[[R], Sequence[str]]) -> None:
        """Write the records whose contents are clean, one a line."""
        lines = [record.to_json().encode() + b"\n" for record in records if self.clean(contents(record))]
        self.left_out["unclean"] += len(records) - len(lines)
        self.counts[name] = len(lines)
        self.write(name, lines)

    def write(self, name: str, pieces: Sequence[bytes]) -> None:
        """Write a file, whole or not at all."""
        data = b"".join(pieces)
        with atomic_file(self._folder / name) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
        self.files[name] = sha256_hex(data)


def task_contents(task: ProductionTask) -> list[str]:
    """What somebody said in a task; the rest is ids and digests of ours."""
    said = [*(message.content for message in task.messages), *(one.text for one in task.responses)]
    votes = [*task.votes, *task.suspect_votes]
    return [*said, *(one.model for one in task.responses), *(vote.comment for vote in votes)]


def case_contents(case: RedTeamCase) -> list[str]:
    """What somebody said or called in a case."""
    turns = [text for turn in case.prompt for text in (turn.tool, turn.text)]
    return [*turns, case.text, case.tool, *leaves(case.args)]
