"""Quarantined pairs of the newest run of `screen`, read from the project's folder; nothing in it is executed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from backstay.errors import IntegrityError
from backstay.feedback.collection import Rejected
from backstay.records import Pair, Prompt, Record, Response

MOST = 1000
"""Quarantined pairs that are read; how many there are is counted beyond it."""

R = TypeVar("R", bound=Record)
_RUN = re.compile(r"[a-z_]{1,40}-[0-9a-f]{12}")


class Quarantined(NamedTuple):
    """A quarantined pair with its texts."""

    pair: Pair
    prompt: Prompt
    a: Response
    b: Response


class Quarantine(NamedTuple):
    """What a run of screen keeps from training; `run` is empty where there is none."""

    run: str
    dataset: str
    total: int
    pairs: tuple[Quarantined, ...]

    def pair(self, pair_id: str) -> Quarantined:
        """One of them; raises Rejected for any other."""
        found = next((row for row in self.pairs if row.pair.id == pair_id), None)
        if found is None:
            raise Rejected("not_found", "the newest run of screen has no such pair in quarantine")
        return found


NOTHING = Quarantine("", "", 0, ())


def read_quarantine(folder: Path | None) -> Quarantine:
    """The newest finished run of screen below `folder`, a project's `.backstay`; NOTHING where there is none.

    Raises IntegrityError for a run whose files do not hold what its manifest says they hold.
    """
    run = None if folder is None else _newest(folder)
    if run is None:
        return NOTHING
    rate = _rate_of(run)
    found = [
        pair for pair in _records(run / "pairs.jsonl", Pair, '"status":"quarantined"') if pair.status == "quarantined"
    ]
    kept = sorted(found, key=lambda pair: pair.id)[:MOST]
    prompts = _named(rate / "prompts.jsonl", Prompt, {pair.prompt_id for pair in kept})
    responses = _named(rate / "responses.jsonl", Response, {name for pair in kept for name in (pair.a, pair.b)})
    try:
        rows = tuple(Quarantined(p, prompts[p.prompt_id], responses[p.a], responses[p.b]) for p in kept)
    except KeyError as error:
        raise IntegrityError(f"{rate} lacks {error.args[0]!r}, which a pair of {run.name} names") from error
    return Quarantine(run.name, _dataset_of(rate), len(found), rows)


def _newest(folder: Path) -> Path | None:
    """What was executed last, by the pointer that runs leave; else the one that finished last."""
    runs = folder / "runs"
    named = _json(folder / "latest.json").get("screen", "")
    if isinstance(named, str) and _RUN.fullmatch(named) and (runs / named / "manifest.json").is_file():
        return runs / named
    finished = [path.parent for path in runs.glob("screen-*/manifest.json") if _RUN.fullmatch(path.parent.name)]
    return max(finished, key=lambda path: (str(_predicate(path).get("finished", "")), path.name), default=None)


def _rate_of(run: Path) -> Path:
    try:
        name = _predicate(run)["inputs"]["rate"]["run"]
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"the manifest of {run.name} names no run of rate", cure="run screen again") from error
    if not isinstance(name, str) or not _RUN.fullmatch(name):
        raise IntegrityError(f"the manifest of {run.name} names no run of rate", cure="run screen again")
    return run.parent / name


def _dataset_of(rate: Path) -> str:
    summary = _predicate(rate).get("summary", {})
    return str(summary.get("dataset", "")) if isinstance(summary, dict) else ""


def _predicate(run: Path) -> dict[str, Any]:
    found = _json(run / "manifest.json").get("predicate", {})
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; an empty one where there is no such file."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise IntegrityError(f"{path} is not JSON: {error}", cure="run the stage that writes it again") from error
    return found if isinstance(found, dict) else {}


def _named(path: Path, kind: type[R], ids: set[str]) -> dict[str, R]:
    return {str(row.id): row for row in _records(path, kind, "") if row.id in ids}  # type: ignore[attr-defined]  # prompts and responses have an id


def _records(path: Path, kind: type[R], having: str) -> Iterator[R]:
    """Records of a file one at a time, those whose line holds a text: most of a long file is not parsed."""
    if not path.is_file():
        raise IntegrityError(f"there is no file {path}", cure="run the stage that writes it again")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if having not in line:
                continue
            try:
                yield kind.from_json(line)
            except ValidationError as error:
                raise IntegrityError(f"{path}:{number}: not a {kind.__name__}", cure="run its stage again") from error
