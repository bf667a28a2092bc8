"""The console's API as methods. See docs/web/client.md for a worked example."""

import shutil
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self
from urllib.parse import quote

from backstay.client.models import (
    Assignment,
    Caller,
    Delivery,
    Exported,
    Guidelines,
    Imported,
    Issued,
    Item,
    Progress,
    Project,
    Receipt,
    Submission,
    Undone,
    Webhook,
)
from backstay.client.transport import BLOCK, Sleep, Transport, get, send, upload
from backstay.errors import UsageError

API = "/api/v1"
PAGE = 500
SCORES = 1000
"""Items whose scores one request sets at most."""

ImportFormat = Literal[
    "unjudged",
    "hh-rlhf",
    "trl",
    "ultrafeedback",
    "argilla",
    "label-studio",
    "production",
    "csv",
    "jsonl",
    "parquet",
]
ExportFormat = Literal["trl", "hh-rlhf", "ultrafeedback", "argilla", "label-studio", "csv", "jsonl", "parquet"]
ItemState = Literal["open", "done", "disputed", "settled", "withdrawn"]
SkipReason = Literal["unclear", "not_my_field", "language", "uncomfortable", "broken", "other"]


class Client:
    """A console at an address, as the owner of an API token.

    `timeout_s` bounds each wait for the network. A request that was not answered is sent again, up to `attempts`
    times, where it only reads or carries an Idempotency-Key. Use one client a thread; close it, or use it in `with`.
    """

    def __init__(
        self,
        address: str,
        token: str = "",
        *,
        timeout_s: float = 30.0,
        attempts: int = 5,
        sleep: Sleep = time.sleep,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._http = Transport(address, token, timeout_s=timeout_s, attempts=attempts, sleep=sleep, trust=trust)

    def me(self) -> Caller:
        """Who the token is, and what it may do."""
        return Caller.model_validate(self._get("/me"))

    def projects(self) -> list[Project]:
        """Projects that may be rated or read."""
        return [Project.model_validate(found) for found in self._get("/projects")["projects"]]

    def project(self, project: str) -> Project:
        """One project."""
        return Project.model_validate(self._get(f"/projects/{_part(project)}"))

    def make_project(self, project: str, name: str, dataset: str, settings: Mapping[str, Any] | None = None) -> Project:
        """Make a project, and items of what its data set holds."""
        body = {"id": project, "name": name, "dataset": dataset, "settings": dict(settings or {})}
        return Project.model_validate(self._send("POST", "/projects", body))

    def change_project(self, project: str, **changes: Any) -> Project:
        """Change `name`, `status` or `settings`; what is not named stays."""
        return Project.model_validate(self._send("PATCH", f"/projects/{_part(project)}", changes))

    def fill_project(self, project: str) -> int:
        """Make items of what the data set has got since; how many."""
        return int(self._send("POST", f"/projects/{_part(project)}/items")["items_made"])

    def items(self, project: str, state: ItemState | None = None) -> Iterator[Item]:
        """Items in order of id, page by page: all of them, or those of one state."""
        found = self.pages(f"/projects/{_part(project)}/items", "items", state=state)
        return (Item.model_validate(item) for item in found)

    def set_scores(self, project: str, scores: Mapping[str, Sequence[float]]) -> int:
        """Set a reward ensemble's log-odds by item that response 0 is better than response 1; of how many items.

        They are sent in parts of 1,000 items. Each is set whole or not at all; sending all again does no harm.
        """
        told, path = list(scores.items()), f"{API}/projects/{_part(project)}/scores"
        parts = [dict(told[start : start + SCORES]) for start in range(0, len(told), SCORES)]
        calls = [
            send("PUT", path, {"scores": {item: list(row) for item, row in part.items()}}, repeatable=True)
            for part in parts
        ]
        return sum(int(self._http.json(call)["items"]) for call in calls)

    def guidelines(self, project: str, version: int | None = None) -> Guidelines:
        """The newest guidelines, or a version of them."""
        return Guidelines.model_validate(self._get(f"/projects/{_part(project)}/guidelines", version=version))

    def write_guidelines(self, project: str, text: str) -> Guidelines:
        """Write a new version."""
        return Guidelines.model_validate(self._send("POST", f"/projects/{_part(project)}/guidelines", {"text": text}))

    def next(self, project: str) -> Issued:
        """The open assignment, else the next one."""
        call = send("POST", f"{API}/projects/{_part(project)}/assignments", repeatable=True)
        return Issued.model_validate(self._http.json(call))

    def judge(self, assignment: Assignment | str, answer: Submission, *, key: str = "") -> Receipt:
        """Send an answer; it is stored once, however often the network makes it be sent."""
        path, body = f"{API}/assignments/{_id(assignment)}/judgment", answer.model_dump(mode="json")
        return Receipt.model_validate(self._http.json(send("POST", path, body, key=key or uuid.uuid4().hex)))

    def skip(self, assignment: Assignment | str, reason: SkipReason, note: str = "", *, key: str = "") -> Receipt:
        """Give a task back."""
        path, body = f"{API}/assignments/{_id(assignment)}/skip", {"reason": reason, "note": note}
        return Receipt.model_validate(self._http.json(send("POST", path, body, key=key or uuid.uuid4().hex)))

    def renew(self, assignment: Assignment | str) -> str:
        """Keep a task for another while; until when."""
        call = send("POST", f"{API}/assignments/{_id(assignment)}/renew", repeatable=True)
        return str(self._http.json(call)["lease_expires_at"])

    def undo(self, project: str, *, key: str = "") -> Undone:
        """Take the last judgment back; one, however often the network makes it be sent."""
        path = f"{API}/projects/{_part(project)}/undo"
        return Undone.model_validate(self._http.json(send("POST", path, key=key or uuid.uuid4().hex)))

    def progress(self, project: str) -> Progress:
        """The rater's own counts."""
        return Progress.model_validate(self._get(f"/projects/{_part(project)}/progress"))

    def import_file(
        self, project: str, file: Path | BinaryIO, form: ImportFormat, *, allow_partial: bool = False, **how: Any
    ) -> Imported:
        """Store a file in the project's data set; raises ImportFailed, with lines and columns, where rows are bad.

        `how`: `dimension`, `heldout_share`, `prompt_kind`, and `in_pieces`; false: one transaction, and raters wait.
        """
        if isinstance(file, Path):
            with file.open("rb") as opened:
                return self.import_file(project, opened, form, allow_partial=allow_partial, **how)
        query = {"format": form, "allow_partial": allow_partial} | how
        found = self._http.json(upload(f"{API}/projects/{_part(project)}/imports", query, file))
        return Imported.model_validate(found)

    def fetch_rejects(self, rejects: str, path: Path) -> Path:
        """Write the refused rows of an import to a new file."""
        if not rejects.startswith(f"{API}/"):
            raise UsageError(f"{rejects!r} is no link to rejects", cure="take it from Imported or ImportFailed")
        with self._http.answer(get(rejects)) as answer, path.open("xb") as file:
            shutil.copyfileobj(answer, file, BLOCK)
        return path

    def export(self, project: str, form: ExportFormat, path: Path) -> Exported:
        """Write the judgments of a project to a new file, block by block; one that breaks off is removed."""
        call = get(f"{API}/projects/{_part(project)}/export", {"format": form})
        with path.open("xb") as file:
            try:
                with self._http.answer(call) as answer:
                    shutil.copyfileobj(answer, file, BLOCK)
                    size, wanted = file.tell(), int(answer.headers["content-length"])
                    if size != wanted:
                        raise ConnectionError(f"{size} of {wanted} bytes came")
                    counts = [int(answer.headers[f"x-backstay-{name}"]) for name in ("rows", "left-out")]
            except BaseException:
                path.unlink()
                raise
        return Exported(path=str(path), size_bytes=size, rows=counts[0], left_out=counts[1])

    def webhooks(self) -> Iterator[Webhook]:
        """Every webhook, page by page."""
        return (Webhook.model_validate(found) for found in self.pages("/webhooks", "webhooks"))

    def make_webhook(self, url: str, events: Sequence[str], note: str = "") -> Webhook:
        """Make a webhook; its secret is in the answer, and is shown this once."""
        body = {"url": url, "events": list(events), "note": note}
        return Webhook.model_validate(self._send("POST", "/webhooks", body))

    def change_webhook(self, webhook: str, **changes: Any) -> Webhook:
        """Change `url`, `events`, `note` or `state`; what is not named stays."""
        return Webhook.model_validate(self._send("PATCH", f"/webhooks/{_part(webhook)}", changes))

    def rotate_webhook_secret(self, webhook: str) -> Webhook:
        """A new secret, shown this once; for a day both sign."""
        return Webhook.model_validate(self._send("POST", f"/webhooks/{_part(webhook)}/secret"))

    def remove_webhook(self, webhook: str) -> None:
        """Remove a webhook and what it has yet to be told."""
        self._send("DELETE", f"/webhooks/{_part(webhook)}")

    def test_webhook(self, webhook: str) -> Delivery:
        """Send an event that tells nothing."""
        return Delivery.model_validate(self._send("POST", f"/webhooks/{_part(webhook)}/test"))

    def deliveries(
        self, webhook: str, state: Literal["waiting", "delivered", "dead"] | None = None
    ) -> Iterator[Delivery]:
        """What a webhook was told, the newest first, page by page."""
        found = self.pages(f"/webhooks/{_part(webhook)}/deliveries", "deliveries", state=state)
        return (Delivery.model_validate(delivery) for delivery in found)

    def redeliver(self, webhook: str, delivery: int) -> Delivery:
        """Send an event once more."""
        path = f"/webhooks/{_part(webhook)}/deliveries/{delivery}/redeliver"
        return Delivery.model_validate(self._send("POST", path))

    def pages(self, path: str, name: str, limit: int = PAGE, **query: Any) -> Iterator[Any]:
        """Every element of a list that the API gives in pages; a page is fetched when it is reached."""
        after: str | int | None = None
        while True:
            found = self._get(path, **query, after=after, limit=limit)
            yield from found[name]
            after = found["next"]
            if after is None:
                return

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        """Use the client for one block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def _get(self, path: str, **query: Any) -> Any:
        return self._http.json(get(API + path, query))

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        return self._http.json(send(method, API + path, body))


def _part(text: str) -> str:
    return quote(text, safe="")


def _id(assignment: Assignment | str) -> str:
    return _part(assignment if isinstance(assignment, str) else assignment.id)
