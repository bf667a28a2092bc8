"""What the members of the reward and cost ensembles are taught: pairs, rankings, shards of raters, marks of harm."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from backstay.aggregate import Votes, collect_votes
from backstay.errors import UsageError
from backstay.learn import RewardSettings
from backstay.learn.branch_states import BranchStates
from backstay.learn.lessons import Comparison, Lesson, Ranking
from backstay.learn.rater_evidence import (
    HarmLabel,
    Rankings,
    RaterRanking,
    collect_rankings,
    harm_labels,
    pair_key,
    rater_shards,
    shard_labels,
    voice,
)
from backstay.records import Judgment, Pair, Prompt, Rater, RaterTrust, Response, Task
from backstay.storage import read_records


@dataclass(frozen=True)
class Material:
    """Responses as rows of branch states, and the usable pairs between them.

    `pairs` teach the reward and `harmless` the cost model; without a cost model all are in `pairs`.
    """

    prompts: list[Prompt]
    responses: list[Response]
    rows: BranchStates
    pairs: list[Pair]
    comparisons: list[Comparison]
    cut: int
    harmless: list[Pair] = field(default_factory=list)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each response id."""
        return {response.id: row for row, response in enumerate(self.responses)}

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(response) for response in self.rows.responses]

    def comparison(self, pair: Pair) -> Comparison:
        """A pair as rows."""
        return Comparison(self.row_of[pair.a], self.row_of[pair.b], pair.p_a, pair.weight)


@dataclass(frozen=True)
class Judged:
    """What raters said, as the rate stage kept it, and how far aggregation trusts them."""

    tasks: list[Task]
    judgments: list[Judgment]
    raters: list[Rater]
    trust: list[RaterTrust]

    @classmethod
    def read(cls, rate: Path, aggregate: Path | None) -> "Judged":
        """Records of a run of rate and, where the settings need trust, of one of aggregate."""
        return cls(
            read_records(rate / "tasks.jsonl", Task),
            read_records(rate / "judgments.jsonl", Judgment),
            read_records(rate / "raters.jsonl", Rater),
            [] if aggregate is None else read_records(aggregate / "trust.jsonl", RaterTrust),
        )

    @cached_property
    def votes(self) -> Votes:
        """Judgments as pairwise votes."""
        return collect_votes(self.tasks, self.judgments)

    @cached_property
    def voices(self) -> dict[str, float]:
        """Weight of each rater's word."""
        return voice(self.trust)


class Teaching:
    """The lessons of each reward member, by the settings `split` and `rankings`."""

    def __init__(self, material: Material, judged: Judged, settings: RewardSettings) -> None:
        self.material, self.settings = material, settings
        found = Rankings()
        if settings.rankings:
            found = collect_rankings(judged.tasks, judged.judgments, judged.voices, material.pairs)
        self.rankings, self.left_out, self.replaced = found.kept, found.left_out, found.replaced
        self.bootstrap = settings.split == "bootstrap"
        self.shard_of: dict[str, int] = {}
        self._labels: dict[tuple[str, str, str, str], dict[int, tuple[float, float]]] = {}
        if not self.bootstrap:
            self.shard_of = rater_shards(judged.judgments, judged.voices, settings.members, settings.seed)
            labels = shard_labels(judged.votes, judged.trust, self.shard_of)
            items = judged.votes.items
            self._labels = {
                (item.prompt_id, item.a, item.b, item.dimension): label
                for item, label in zip(items, labels, strict=True)
            }

    def curricula(self, held: Collection[str]) -> list[list[Lesson]]:
        """One list of lessons a member, of all prompts but the `held` ones.

        Raises UsageError when there are none, or none for a shard of raters.
        """
        if self.bootstrap:
            lessons = self._everything(held)
            if not lessons:
                raise UsageError(
                    f"no pair that may teach lies outside the {len(held)} held-out prompts: there is none to train on",
                    cure="collect more judgments, or look at `backstay quarantine ls`",
                )
            return [lessons] * self.settings.members
        found = [self._of_shard(shard, held) for shard in range(self.settings.members)]
        if not all(found):
            empty = ", ".join(str(shard) for shard, lessons in enumerate(found) if not lessons)
            raise UsageError(
                f"the raters of member {empty} judged no pair that may teach",
                cure="lower reward.members, or set reward.split=bootstrap",
            )
        return found

    def facts(self, curricula: Sequence[Sequence[Lesson]]) -> dict[str, Any]:
        """What the report says of the teaching."""
        raters = Counter(self.shard_of.values())
        shards = [{"raters": raters[i], "lessons": len(own)} for i, own in enumerate(curricula)]
        return {
            "split": self.settings.split,
            "shards": None if self.bootstrap else shards,
            "rankings": len(self.rankings),
            "rankings_left_out": dict(sorted(self.left_out.items())),
            "pairs_replaced_by_rankings": len(self.replaced),
        }

    def _pairs(self, held: Collection[str]) -> list[tuple[Pair, Comparison]]:
        both = zip(self.material.pairs, self.material.comparisons, strict=True)
        return [(pair, c) for pair, c in both if pair.prompt_id not in held and _key(pair) not in self.replaced]

    def _ranking(self, ranking: RaterRanking) -> Ranking:
        row_of = self.material.row_of
        return Ranking(tuple(tuple(row_of[r] for r in group) for group in ranking.groups), ranking.weight)

    def _everything(self, held: Collection[str]) -> list[Lesson]:
        rankings = [self._ranking(r) for r in self.rankings if r.prompt_id not in held]
        return [*(comparison for _, comparison in self._pairs(held)), *rankings]

    def _of_shard(self, shard: int, held: Collection[str]) -> list[Lesson]:
        lessons: list[Lesson] = []
        for pair, c in self._pairs(held):
            label = self._labels.get((pair.prompt_id, pair.a, pair.b, pair.dimension), {}).get(shard)
            if label is not None and label[1] > 0:
                lessons.append(Comparison(c.a, c.b, label[0], c.weight * label[1]))
        own = [r for r in self.rankings if r.prompt_id not in held and self.shard_of.get(r.rater_id) == shard]
        return [*lessons, *(self._ranking(r) for r in own)]


def harm_of_rows(material: Material, judged: Judged, held: Collection[str]) -> dict[int, HarmLabel]:
    """Harm label of each row that raters looked at for harm.

    Raises UsageError when nobody marked anything, or when the rows of other prompts than the `held` ones are not of
    both sides, as no zero can be learned then.
    """
    labels = harm_labels(judged.tasks, judged.judgments, judged.voices)
    rows = {material.row_of[name]: label for name, label in labels.items() if name in material.row_of}
    if not rows:
        raise UsageError(
            "no trusted rater marked any response with harmful:I or unsafe:I, so there is no harm to learn",
            cure="set reward.cost_members=0, or collect judgments with such flags",
        )
    taught = [label.p_harmful for row, label in rows.items() if material.responses[row].prompt_id not in held]
    harmful, safe = sum(p > 0.5 for p in taught), sum(p < 0.5 for p in taught)
    if not (harmful and safe):
        raise UsageError(
            f"of {len(taught)} responses to train prompts that raters looked at for harm, {harmful} are harmful and "
            f"{safe} safe by most lookers; a cost model needs both to have a zero",
            cure="collect more marks, lower reward.heldout_share, or set reward.cost_members=0",
        )
    return rows


def _key(pair: Pair) -> tuple[str, Any, frozenset[str]]:
    return pair_key(pair.prompt_id, pair.dimension, pair.a, pair.b)
