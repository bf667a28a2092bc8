"""The rating page over an API that answers from memory, on a free loopback port: same shapes, tasks of our own."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn
from guard_gateway import LoopThread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from backstay.web.pages import Link, Pages, Visitor
from backstay.web.rendering import render

ALLOW = {"ties": True, "both_bad": True, "strength": True, "rationale": True, "spans": True, "edit": True}


@dataclass
class FakeTask:
    """A prompt with its responses, as a test gives it."""

    prompt: list[tuple[str, str]]
    responses: list[str]
    kind: str = "pair"
    dimensions: list[str] = field(default_factory=lambda: ["overall"])
    allow: dict[str, bool] = field(default_factory=dict)
    lease_s: float = 900


def pair(
    prompt: str = "Why is the sky blue?", a: str = "Air scatters blue light.", b: str = "It is *wet*."
) -> FakeTask:
    return FakeTask([("user", prompt)], [a, b])


@dataclass
class FakeApi:
    """What the server holds; tests read it, and set `trouble` to the status that requests get for now."""

    tasks: list[FakeTask]
    guidelines: list[str] = field(default_factory=lambda: ["# How to judge\n\nPrefer what is **true**."])
    account: str = "acc-rita"
    wanted: int = 0
    trouble: int = 0
    refusal: tuple[int, str] | None = None
    at: int = 0
    url: str = ""
    leases: dict[str, int] = field(default_factory=dict)
    answered: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    renewed: int = 0
    retracted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def judgments(self) -> list[dict[str, Any]]:
        return [body for _, what, body in self.answered if what == "judgment"]

    def progress(self) -> dict[str, Any]:
        return {
            "done_today": len(self.answered),
            "done_total": 40 + len(self.answered),
            "streak_days": 3,
            "per_hour": 41.6,
            "left": len(self.tasks) - self.at,
            "retracted": self.retracted,
            "skipped": sum(what == "skip" for _, what, _ in self.answered),
        }

    def assignment(self) -> dict[str, Any] | None:
        if self.at >= len(self.tasks):
            return None
        held = next((lease for lease, task in self.leases.items() if task == self.at), None)
        lease = held or f"as-{next(self.count)}"
        self.leases[lease] = self.at
        return self._assignment(lease, self.tasks[self.at])

    def _assignment(self, lease: str, task: FakeTask) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "id": lease,
            "project": "sky",
            "kind": task.kind,
            "prompt": [{"role": role, "text": text, "html": render(text)} for role, text in task.prompt],
            "responses": [
                {"slot": slot, "text": text, "html": render(text)} for slot, text in enumerate(task.responses)
            ],
            "dimensions": task.dimensions,
            "allow": ALLOW | task.allow,
            "guidelines_version": len(self.guidelines),
            "issued_at": now.isoformat(),
            "lease_expires_at": (now + timedelta(seconds=task.lease_s)).isoformat(),
            "server_time": now.isoformat(),
        }

    def take(self, lease: str, what: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.tried.append(key)
            if key in self.receipts:
                return 200, self.receipts[key]
            if self.refusal is not None:
                (status, code), self.refusal = self.refusal, None
                self.leases.pop(lease, None)
                return status, error(code)
            if self.leases.get(lease) != self.at:
                return 409, error("lease_over")
            self.answered.append((self.at, what, body))
            del self.leases[lease]
            self.at += 1
            following = self.assignment()
            self.receipts[key] = {
                "receipt": f"r-{len(self.answered)}",
                "accepted_at": datetime.now(UTC).isoformat(),
                "undo": what == "judgment",
                "progress": self.progress(),
                "next": following,
                "why": "" if following else "done",
            }
            return 201, self.receipts[key]

    def undo(self, key: str) -> tuple[int, dict[str, Any]]:
        self.tried.append(key)
        if key in self.receipts:
            return 200, self.receipts[key]
        if not self.answered or self.answered[-1][1] != "judgment":
            return 409, error("nothing_to_undo")
        self.at, _, body = self.answered.pop()
        self.retracted += 1
        self.leases.clear()
        answer = {name: value for name, value in body.items() if not name.endswith("_ms")}
        self.receipts[key] = {"assignment": self.assignment(), "answer": answer, "progress": self.progress()}
        return 200, self.receipts[key]


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"refused with {code}", "cure": "go on", "fields": []}}


@contextlib.contextmanager
def fake_rating(*tasks: FakeTask, guidelines: list[str] | None = None) -> Iterator[FakeApi]:
    """Serve until the block ends."""
    api = FakeApi(list(tasks))
    if guidelines is not None:
        api.guidelines = guidelines
    with LoopThread() as loop:
        api.url = f"http://127.0.0.1:{loop.call(serve_app(loop, _Routes(api).app()))}"
        yield api


class _Routes:
    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.pages = Pages()

    def app(self) -> Starlette:
        base = "/api/v1/projects/sky"
        return Starlette(
            routes=[
                Route("/rate", self.projects),
                Route("/rate/sky", self.page),
                Route("/sign-in", self.sign_in),
                Route("/assets/{version}/{name}", self.asset),
                Route(f"{base}/assignments", self.ask, methods=["POST"]),
                Route(f"{base}/undo", self.undo, methods=["POST"]),
                Route(f"{base}/guidelines", self.read_guidelines),
                Route("/api/v1/assignments/{lease}/renew", self.renew, methods=["POST"]),
                Route("/api/v1/assignments/{lease}/{what}", self.take, methods=["POST"]),
            ]
        )

    def visitor(self) -> Visitor:
        return Visitor(self.api.account, "Rita Moss", "rater", "csrf-of-rita", (Link("rate", "Rate", "/rate"),))

    async def projects(self, request: Request) -> Response:
        listed = {"id": "sky", "name": "Sky questions", "what": "Which answer explains it better?", "status": "open"}
        projects = [
            listed | {"left": self.api.progress()["left"], "done_today": 12},
            listed | {"id": "old", "name": "Recipes", "status": "closed", "left": None, "done_today": 0},
        ]
        return self.pages.page("rate_projects", self.visitor(), here="rate", projects=projects)

    async def page(self, request: Request) -> Response:
        project = {"id": "sky", "name": "Sky questions"}
        return self.pages.page(
            "rate", self.visitor(), here="rate", project=project, sign_in="/sign-in", wanted=self.api.wanted
        )

    async def sign_in(self, request: Request) -> Response:
        return self.pages.message("Sign in", "Here one signs in.", status=200, back=request.query_params["next"])

    async def asset(self, request: Request) -> Response:
        return self.pages.asset(request.path_params["version"], request.path_params["name"]) or Response(
            status_code=404
        )

    def refused(self, request: Request) -> Response | None:
        if request.headers.get("x-backstay-csrf") != "csrf-of-rita":
            return JSONResponse(error("csrf"), 403)
        if self.api.trouble:
            return JSONResponse(error("trouble"), self.api.trouble)
        return None

    async def ask(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        assignment = self.api.assignment()
        why = "" if assignment else "nothing_left"
        return JSONResponse({"assignment": assignment, "why": why, "progress": self.api.progress()})

    async def take(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        key = request.headers["idempotency-key"]
        status, answer = self.api.take(
            request.path_params["lease"], request.path_params["what"], key, await request.json()
        )
        return JSONResponse(answer, status)

    async def renew(self, request: Request) -> Response:
        self.api.renewed += 1
        return JSONResponse({"lease_expires_at": (datetime.now(UTC) + timedelta(seconds=900)).isoformat()})

    async def undo(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        status, answer = self.api.undo(request.headers["idempotency-key"])
        return JSONResponse(answer, status)

    async def read_guidelines(self, request: Request) -> Response:
        version = len(self.api.guidelines)
        text, at = (self.api.guidelines[-1], "2026-11-20T10:00:00+00:00") if version else ("", None)
        return JSONResponse({"version": version, "text": text, "html": render(text), "author": "lena", "at": at})


async def serve_app(loop: LoopThread, app: Any) -> int:
    """Serve an ASGI application until the loop ends; gives back its port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # it is not the main thread
    task = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.001)

    async def stop() -> None:
        server.should_exit = True
        await task

    loop.stack.push_async_callback(stop)
    return int(server.servers[0].sockets[0].getsockname()[1])
