"""The console on synthetic judgments by simulated raters, behind a real port, for tests of the lead's pages."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from bulk_console import DAY_MS, START_MS, fill_console
from console_site import ConsoleSite, console_site

from backstay.guard.gateway.server import listen
from backstay.web.insight.services import Services

JUDGMENTS, RATERS, DAYS = 1500, 30, 40
INTERVAL = {"value": 0.8, "low": 0.7, "high": 0.9}


async def told_findings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the process that aggregates would tell, without the aggregation."""
    names = [f"r-{n:05d}" for n in range(RATERS)]
    group = {"cohort": "de", "raters": 9, "votes": 400, "gold_votes": 60, "trust": INTERVAL, "weight": INTERVAL}
    group |= {"gold_accuracy": INTERVAL, "relative_weight": INTERVAL, "alpha": INTERVAL, "warning": ""}
    warned = group | {"cohort": "sw", "warning": "its votes weigh 12% less than its accuracy on gold explains"}
    alarm = {"kind": "bloc", "tone": "alarm", "title": "2 raters act as one", "raters": names[4:6], "size": 2}
    tested = {"first": "de", "second": "sw", "shared_items": 90, "shortfall": 0.1, "p_corrected": 0.004, "items": 7}
    audit = {"field": "language", "groups": [group, warned], "hidden": 1, "least": 5, "differences": [tested]}
    return {
        "method": "full",
        "judged": JUDGMENTS,
        "raters": [_trust(place, name) for place, name in enumerate(names)],
        "alarms": [alarm | {"text": "They agree on 96% of common votes, where 71% is expected."}],
        "cohorts": [audit],
        "peak_mib": 300,
    }


def _trust(place: int, name: str) -> dict[str, Any]:
    trust = 0.2 if place == 7 else 0.6 + 0.01 * place
    notes = ["more often wrong than right: read backwards"] if place == 7 else []
    return {"rater_id": name, "trust": trust, "low": trust - 0.1, "high": trust + 0.07, "n_judgments": 50} | {
        "notes": notes
    }


@contextlib.contextmanager
def insight_site(folder: Path, judgments: int = JUDGMENTS, raters: int = RATERS) -> Iterator[ConsoleSite]:
    """A console whose clock stands at noon of the last day of work."""
    fill_console(folder / "console.db", judgments, raters, days=DAYS)
    with console_site(folder) as site:
        site.clock.now_ms = START_MS + DAYS * DAY_MS - DAY_MS // 2
        services = site.app.state.insight
        assert isinstance(services, Services)
        services.trust._worker = told_findings
        yield site


@contextlib.contextmanager
def served(site: ConsoleSite) -> Iterator[str]:
    """The site's address behind a free port."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(site.app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
