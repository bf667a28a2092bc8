"""The pages of the two-person rule, of quarantine, and of the journal of what people did."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from backstay.errors import UsageError
from backstay.feedback.collection.proposing import proposal_of, withdraw
from backstay.storage.unit import Unit
from backstay.web.accounts import audit_log
from backstay.web.api.adjudications import LETTERS
from backstay.web.api.deciding import NAME, Either, Id, ItemId, Overseer, Proposer, Second, decider, names_of
from backstay.web.api.proposals import (
    decide_on,
    pair_json,
    proposal_json,
    proposal_rows,
    propose_to_release,
    quarantine_of,
)
from backstay.web.api.rating import Here
from backstay.web.api.verify import verification_of, walk_json
from backstay.web.governance_pages.frame import fields_of, or_back, page
from backstay.web.pages import see
from backstay.web.permissions import Permission

router = APIRouter(prefix="/security", include_in_schema=False)
HOME = "/security/proposals"


@router.get("/proposals")
async def proposals(request: Request, who: Either, console: Here) -> Response:
    """What waits for a second person, and what was decided lately."""

    def query(connection: Connection) -> dict[str, Any]:
        waiting, decided = (proposal_rows(connection, who, wanted)[0] for wanted in (True, False))
        return {"waiting": waiting, "decided": decided[:20]}

    return await page(request, "proposals", "security", **await console.read(query), who=who)


@router.get("/proposals/{proposal}")
async def proposal_page(request: Request, proposal: Id, who: Either, console: Here) -> Response:
    """One proposal: the texts, both values, and what this person may do."""
    found = await or_back(HOME, console.read(lambda connection: proposal_json(connection, proposal, who)))
    may = {"confirm": who.may(Permission.CONFIRM), "withdraw": who.may(Permission.PROPOSE)}
    return await page(request, "proposal", "security", proposal=found, letters=LETTERS, may=may)


@router.post("/proposals/{proposal}")
async def decide(request: Request, proposal: Id, who: Second, console: Here) -> Response:
    """{did: confirm | refuse, reason}: a second person's word."""
    fields = await fields_of(request)
    here, did = f"{HOME}/{proposal}", fields.get("did", "")
    if did not in ("confirm", "refuse"):
        raise UsageError("a proposal is confirmed or refused", cure="load the page again")
    await or_back(here, decide_on(console, proposal, who, did == "confirm", fields.get("reason", "")))
    return see(here)


@router.post("/proposals/{proposal}/withdraw")
async def take_back(proposal: Id, who: Proposer, console: Here) -> Response:
    """Take one's own proposal back."""
    here = f"{HOME}/{proposal}"

    def work(unit: Unit) -> None:
        who.check_enter(proposal_of(unit.connection, proposal).project)
        withdraw(unit, proposal, decider(who))

    await or_back(here, console.write(work))
    return see(here)


@router.get("/quarantine")
async def quarantine(request: Request, who: Either, console: Here) -> Response:
    """Pairs that the newest run of screen keeps from training."""
    found = await or_back(HOME, quarantine_of(console, who))
    rows, _ = await console.read(lambda connection: proposal_rows(connection, who, waiting=True))
    waiting = {row["subject"]: row["id"] for row in rows if row["kind"] == "release"}
    told = [(pair_json(row), waiting.get(row.pair.id)) for row in found.pairs[:50]]
    may = who.may(Permission.PROPOSE)
    return await page(request, "quarantine", "security", run=found.run, total=found.total, pairs=told, may=may)


@router.post("/quarantine/{pair}")
async def propose(request: Request, pair: ItemId, who: Proposer, console: Here) -> Response:
    """{reason}: propose to release a pair."""
    fields = await fields_of(request)
    made = await or_back("/security/quarantine", propose_to_release(console, pair, who, fields.get("reason", "")))
    return see(f"{HOME}/{made.id}")


@router.get("/audit")
async def audit(
    request: Request,
    _: Overseer,
    console: Here,
    kind: Annotated[str, Query(max_length=40, pattern=NAME)] = "",
    by: Annotated[str, Query(max_length=60, pattern=NAME)] = "",
    after: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Response:
    """What people did, newest first."""

    def query(connection: Connection) -> dict[str, Any]:
        found, more = audit_log.acts(connection, after=after, kind=kind, by=by)
        names = names_of(connection, [str(act.payload.get("by", "")) for act in found])
        return {"acts": found, "more": more, "kinds": audit_log.kinds(connection), "names": names}

    walk = walk_json(verification_of(request).last)
    return await page(request, "audit", "audit", **await console.read(query), kind=kind, by=by, walk=walk)


@router.post("/audit/verify")
async def verify(request: Request, who: Overseer) -> Response:
    """Begin a walk over the journal."""
    await verification_of(request).start(who.account_id)
    return see("/security/audit")
