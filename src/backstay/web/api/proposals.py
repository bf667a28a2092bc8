"""Changes that take two people: what is proposed, and a second person's word; and what is in quarantine."""

from typing import Literal

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import JSONResponse

from backstay.feedback.collection import Rejected, find_item, project_of
from backstay.feedback.collection.gold_keeping import confirm_gold, gold_at, refuse_gold
from backstay.feedback.collection.item_history import Texts, read_texts, texts_of
from backstay.feedback.collection.proposing import Proposal, proposal_of, proposals_of, withdraw
from backstay.feedback.collection.releasing import confirm_release, project_on, propose_release, refuse_release
from backstay.feedback.collection.submission import iso_time
from backstay.storage.unit import Unit
from backstay.web.api import shapes_decisions as shapes
from backstay.web.api.deciding import After, Either, Id, ItemId, Proposer, Second, Why, decider, names_of, texts_json
from backstay.web.api.paging import Limit, following
from backstay.web.api.rating import Here
from backstay.web.console import Console
from backstay.web.gate import Principal
from backstay.web.quarantined import Quarantine, Quarantined, read_quarantine
from backstay.web.shown import Json
from backstay.web.webhooks.events import telling_proposal

router = APIRouter(prefix="/api/v1", tags=["two persons"])


@router.get("/proposals", response_model=shapes.Proposals)
async def list_proposals(
    who: Either,
    console: Here,
    state: Literal["waiting", "decided"] = "waiting",
    after: After = "",
    limit: Limit = 100,
) -> JSONResponse:
    """Proposals, newest first."""
    rows, place = await console.read(
        lambda connection: proposal_rows(connection, who, state == "waiting", after, limit)
    )
    return JSONResponse({"proposals": rows, "next": place})


@router.get("/proposals/{proposal}", response_model=shapes.ShownProposal)
async def get_proposal(proposal: Id, who: Either, console: Here) -> JSONResponse:
    """One proposal with the texts that it is about, and both values."""
    return JSONResponse(await console.read(lambda connection: proposal_json(connection, proposal, who)))


@router.post("/proposals/{proposal}/confirm", response_model=shapes.Proposal)
async def confirm_proposal(proposal: Id, body: Why, who: Second, console: Here) -> JSONResponse:
    """Do what was proposed."""
    return JSONResponse(proposal_row(await decide_on(console, proposal, who, True, body.reason), {}))


@router.post("/proposals/{proposal}/refuse", response_model=shapes.Proposal)
async def refuse_proposal(proposal: Id, body: Why, who: Second, console: Here) -> JSONResponse:
    """Leave everything as it is."""
    return JSONResponse(proposal_row(await decide_on(console, proposal, who, False, body.reason), {}))


@router.post("/proposals/{proposal}/withdraw", response_model=shapes.Proposal)
async def withdraw_proposal(proposal: Id, who: Proposer, console: Here) -> JSONResponse:
    """Take one's own proposal back."""

    def work(unit: Unit) -> Proposal:
        who.check_enter(proposal_of(unit.connection, proposal).project)
        return withdraw(unit, proposal, decider(who))

    return JSONResponse(proposal_row(await console.write(work), {}))


@router.get("/quarantine", response_model=shapes.Quarantine)
async def list_quarantine(who: Either, console: Here, after: After = "", limit: Limit = 100) -> JSONResponse:
    """Pairs that the newest run of screen keeps from training, with findings and texts; the first 1,000 by id."""
    found = await quarantine_of(console, who)
    rows = [row for row in found.pairs if row.pair.id > after][:limit]
    told = {"run": found.run, "total": found.total, "pairs": [pair_json(row) for row in rows]}
    return JSONResponse(told | {"next": following(rows, limit, lambda row: row.pair.id)})


@router.post("/quarantine/{pair}/proposals", status_code=201, response_model=shapes.Proposal)
async def propose_release_of(pair: ItemId, body: Why, who: Proposer, console: Here) -> JSONResponse:
    """Propose that training may use a pair; a second person decides."""
    return JSONResponse(proposal_row(await propose_to_release(console, pair, who, body.reason), {}), 201)


async def decide_on(console: Console, proposal_id: str, who: Principal, confirms: bool, reason: str) -> Proposal:
    """A second person's word."""

    def work(unit: Unit) -> Proposal:
        found = proposal_of(unit.connection, proposal_id)
        who.check_enter(found.project)
        ways = (confirm_gold, refuse_gold) if found.kind == "gold" else (confirm_release, refuse_release)
        return telling_proposal(unit, ways[not confirms](unit, found, decider(who), reason))

    return await console.write(work)


async def propose_to_release(console: Console, pair_id: str, who: Principal, reason: str) -> Proposal:
    """Propose to release a pair of the newest run of screen."""
    found = await quarantine_of(console, who)
    row = found.pair(pair_id)

    def work(unit: Unit) -> Proposal:
        project = project_on(unit.connection, found.dataset)
        who.check_enter(project)
        return telling_proposal(unit, propose_release(unit, project, row.pair, found.run, decider(who), reason))

    return await console.write(work)


async def quarantine_of(console: Console, who: Principal) -> Quarantine:
    """The newest run's quarantine; nothing of it for somebody whose projects are not on its data set."""

    def look(connection: Connection) -> Quarantine:
        found = read_quarantine(console.folder)
        if who.projects is not None and not _has_project_on(connection, found.dataset, who):
            return Quarantine(found.run, found.dataset, 0, ())
        return found

    return await console.read(look)


def proposal_rows(
    connection: Connection, who: Principal, waiting: bool, after: str = "", limit: int = 100
) -> tuple[list[Json], str | None]:
    """A page of the proposals in projects that are open to somebody, and what the next one is after."""
    every = proposals_of(connection, waiting=waiting, after=after, limit=limit)
    found = [row for row in every if who.may_enter(row.project)]
    names = names_of(connection, [name for row in found for name in (row.person, row.second)])
    return [proposal_row(row, names) for row in found], following(every, limit, lambda row: row.id)


def proposal_json(connection: Connection, proposal_id: str, who: Principal) -> Json:
    """A proposal with texts, the value now and the value proposed."""
    found = proposal_of(connection, proposal_id)
    who.check_enter(found.project)
    names = names_of(connection, [found.person, found.second])
    told = proposal_row(found, names) | texts_json(_texts(connection, found)) | {"own": found.person == who.account_id}
    if found.kind == "release":
        return told
    now = gold_at(connection, found.project, found.subject, found.change["dimension"])
    return told | {"now": None if now is None else {"best": now.best, "state": now.state}}


def proposal_row(found: Proposal, names: dict[str, str]) -> Json:
    """A proposal as JSON data."""
    told = found._asdict() | {"at": iso_time(found.at_ms)}
    told["second_at"] = iso_time(found.second_at_ms) if found.second_at_ms else None
    del told["at_ms"], told["second_at_ms"]
    return told | {
        "name": names.get(found.person, found.person),
        "second_name": names.get(found.second or "", found.second),
    }


def pair_json(row: Quarantined) -> Json:
    """A quarantined pair as JSON data."""
    pair = row.pair
    told = {"id": pair.id, "dimension": pair.dimension, "p_a": pair.p_a, "weight": pair.weight, "raters": pair.n_raters}
    shown = texts_json(Texts(row.prompt, (row.a, row.b)))
    return told | shown | {"findings": [found.payload() for found in pair.findings]}


def _texts(connection: Connection, found: Proposal) -> Texts:
    project = project_of(connection, found.project)
    if found.kind == "release":
        return read_texts(connection, project.dataset, found.change["prompt"], (found.change["a"], found.change["b"]))
    item = find_item(connection, found.project, found.subject)
    if item is None:
        raise Rejected("not_found", "the item of this proposal is gone")
    return texts_of(connection, project, item)


def _has_project_on(connection: Connection, dataset: str, who: Principal) -> bool:
    try:
        return who.may_enter(project_on(connection, dataset))
    except Rejected:
        return False
