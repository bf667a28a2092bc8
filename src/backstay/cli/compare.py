"""`backstay compare`: two runs side by side."""

import json
from pathlib import Path
from typing import Any

import click

from backstay.cli.session import Session, shared_options


@click.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@click.option("--all", "show_all", is_flag=True, help="Show rows that are equal too.")
@shared_options
def compare(session: Session, first: str, second: str, show_all: bool) -> None:
    """Show settings, results and metrics of two runs side by side.

    RUN is a folder, a run's name or the beginning of one, or a stage (its latest run).
    """
    from backstay.pipeline.runs import resolve_run

    runs = [resolve_run(session.project, text) for text in (first, second)]
    facts = [_facts(run.path, run.manifest.predicate if run.manifest else {}) for run in runs]
    keys = list(dict.fromkeys([*facts[0], *facts[1]]))
    rows = [(key, facts[0].get(key, ""), facts[1].get(key, "")) for key in keys]
    shown = rows if show_all else [row for row in rows if row[1] != row[2]]
    if session.as_json:
        session.emit(
            {
                "runs": [run.name for run in runs],
                "rows": [dict(zip(("what", "a", "b"), row, strict=True)) for row in shown],
            }
        )
        return
    session.table(("", runs[0].name, runs[1].name), [(key, _text(a), _text(b)) for key, a, b in shown])
    session.say(f"{len(rows) - len(shown)} equal rows not shown" if len(shown) < len(rows) else "every row is shown")


def _facts(folder: Path, predicate: dict[str, Any]) -> dict[str, Any]:
    """Settings, summary and the last metrics row, as flat keys."""
    facts: dict[str, Any] = {}
    for title in ("settings", "summary"):
        facts |= {f"{title}.{key}": value for key, value in _flat(predicate.get(title, {})).items()}
    return facts | {f"last metrics.{key}": value for key, value in _flat(_last_metrics(folder)).items()}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    nested = [_flat(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()]
    return {key: item for part in nested for key, item in part.items()}


def _last_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    row: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return row


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
