"""The whole fit: raters, blocs, suspected topics and what audits of them prove."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.alarm_rate import with_false_alarms
from backstay.aggregate.columns import Index, VoteColumns, columns_of
from backstay.aggregate.contexts import Suspicion, adopt_topics, draw_audit, split_topics, suspected, suspicions
from backstay.aggregate.reliability import Fit, fit_columns
from backstay.aggregate.same_source import SameSource, nothing_shared, same_source, starts_of
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.source_evidence import CopyGroup, bloc_evidence, copy_groups, unexplained
from backstay.aggregate.trust import Group, Known, groups_of, known_of
from backstay.aggregate.votes import Floats, Ints, Votes

UNNAMED = ""
"""Topic of items whose prompt names none."""


@dataclass(frozen=True)
class Topics:
    """Topics of I items by number and name; which were suspected, adopted; and the items proposed for an audit."""

    names: tuple[str, ...]
    of_item: Index
    suspicions: tuple[Suspicion, ...] = ()
    suspected: tuple[int, ...] = ()
    adopted: tuple[int, ...] = ()
    proposed: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Fitted:
    """A fit with what is known of the raters in it.

    `columns` may hold one rater several times, once for each adopted topic: `owner` (R') says who each is. `starts`
    are memberships (R') from which blocs were looked for besides those that the votes suggest; `copied`, raters who
    give the same rationales and are in no bloc.
    """

    columns: VoteColumns
    fit: Fit
    known: Known
    groups: tuple[Group, ...]
    owner: Ints
    topics: Topics
    settings: AggregateSettings
    starts: tuple[Floats, ...] = ()
    copied: tuple[CopyGroup, ...] = ()

    def refit(self, gold: NDArray[np.int8]) -> Fit:
        """The same model with other gold answers (I)."""
        return fit_columns(self.columns._replace(gold=gold), self.settings, self.fit.group, self.starts)


def fit_votes(
    votes: Votes, audited: NDArray[np.bool_], topic_of: Mapping[str, str], settings: AggregateSettings
) -> Fitted:
    """Fit `votes`; items whose gold answer was given in an `audited` (I) answer decide about suspected topics.

    `topic_of` names the topics of prompts, by id.
    """
    columns = columns_of(votes, votes.gold)
    source = same_source(votes) if settings.collusion and settings.same_source else nothing_shared(votes.n_raters)
    copied = copy_groups(source)
    starts = starts_of(source, tuple(group.raters for group in copied))
    fit = fit_columns(columns, settings, starts=starts)
    fitted = _known(columns, fit, np.arange(columns.n_raters), settings, starts)
    topics = _topics(votes, topic_of)
    found = suspicions(columns, fitted.fit, fitted.known, topics.of_item) if settings.max_topics else []
    found = [s for s in found if topics.names[s.topic] != UNNAMED]
    suspects = suspected(found, settings)
    examined = sorted({*suspects, *(t for t in topics.of_item[audited].tolist() if topics.names[t] != UNNAMED)})
    adopted = adopt_topics(columns, topics.of_item, examined, audited, settings) if audited.any() else []
    budget = round(settings.audit_share * votes.n_items)
    open_ = [t for t in suspects if t not in adopted]
    proposed = draw_audit(columns, topics.of_item, open_, budget, settings.seed) if open_ else topics.proposed
    if adopted:
        divided, group, owner = split_topics(columns, topics.of_item, adopted, audited)
        starts = tuple(start[owner] for start in starts)
        fitted = _known(divided, fit_columns(divided, settings, group, starts), owner, settings, starts)
    topics = replace(
        topics, suspicions=tuple(found), suspected=tuple(suspects), adopted=tuple(adopted), proposed=proposed
    )
    return replace(_with_evidence(fitted, source, copied), topics=topics)


def _known(
    columns: VoteColumns, fit: Fit, owner: Ints, settings: AggregateSettings, starts: tuple[Floats, ...]
) -> Fitted:
    known, groups = known_of(columns, fit, settings), groups_of(columns, fit)
    return Fitted(columns, fit, known, groups, owner, Topics((), np.zeros(0, dtype=np.int32)), settings, starts)


def _with_evidence(fitted: Fitted, source: SameSource, copied: tuple[CopyGroup, ...]) -> Fitted:
    """The fit with what speaks for and against each bloc, and with raters who copy rationales without being in one."""
    groups = with_false_alarms(fitted.groups, fitted.columns, fitted.fit, fitted.settings, fitted.starts)
    members = [np.unique(fitted.owner[group.bloc.membership > 0.5]) for group in groups]
    groups = tuple(
        replace(group, evidence=bloc_evidence(source, who, fitted.settings.seed))
        for group, who in zip(groups, members, strict=True)
    )
    explained = np.unique(np.concatenate([*members, np.zeros(0, dtype=np.int64)]))
    return replace(fitted, groups=groups, copied=unexplained(copied, explained))


def _topics(votes: Votes, topic_of: Mapping[str, str]) -> Topics:
    names: dict[str, int] = {}
    of_item = [names.setdefault(topic_of.get(item.prompt_id, UNNAMED), len(names)) for item in votes.items]
    return Topics(tuple(names), np.array(of_item, dtype=np.int32))


def settled_gold(
    votes: Votes, audits: Mapping[tuple[str, str, str, str], str]
) -> tuple[Floats, NDArray[np.bool_], int]:
    """Gold answers (I) with those of audits put in, which items were audited, and answers about no known pair.

    An audit is keyed by prompt, both responses in order of their ids, and dimension; its value is the better response.
    """
    gold, audited, met = votes.gold.copy(), np.zeros(votes.n_items, dtype=np.bool_), 0
    for i, item in enumerate(votes.items):
        low, high = sorted((item.a, item.b))
        better = audits.get((item.prompt_id, low, high, item.dimension))
        if better is not None:
            gold[i], audited[i], met = float(better == item.a), True, met + 1
    return gold, audited, len(audits) - met
