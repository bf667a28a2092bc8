"""One self-contained HTML file: no script, no network, every text escaped."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from backstay.report import sections, wording
from backstay.report.data import ReportData, without_texts
from backstay.report.limits import not_tested
from backstay.report.raters import raters
from backstay.report.screening import screening
from backstay.report.tiles import tiles
from backstay.report.verdict import verdict, what_went_in

_FILTERS = ("number", "signed", "percent", "count", "duration", "short_hash", "words", "percent_span", "signed_span")


def build_report(data: ReportData) -> str:
    """The report as HTML; texts that may not be shown are dropped before anything is rendered."""
    if not data.texts_shown:
        data = without_texts(data)
    page = _environment().get_template("report.html.j2").render(**_context(data))
    return page.encode("utf-8", "replace").decode("utf-8")


def _context(data: ReportData) -> dict[str, Any]:
    return {
        "data": data,
        "meta": data.meta,
        "verdict": verdict(data),
        "went_in": what_went_in(data),
        "simulated": _simulated(data),
        "tiles": tiles(data),
        "learning": sections.learning(data),
        "reward": sections.reward(data),
        "raters": raters(data),
        "screening": screening(data),
        "attack": sections.attack(data),
        "families": sections.families(data),
        "samples": sections.samples(data),
        "not_tested": not_tested(data),
        "style": _style(),
    }


def _simulated(data: ReportData) -> list[str]:
    """What in this report is played by a program, as subjects of a sentence."""
    found = []
    if any(rater.get("simulated") for rater in data.raters):
        found.append("the raters")
    if data.meta.simulated_gold and data.evaluation and data.evaluation["gold_rule"]:
        found.append("the gold rule")
    return found


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("backstay.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters.update({name: getattr(wording, name) for name in _FILTERS})
    return environment


def _visible(value: Any) -> Any:
    """Untrusted text without control and direction marks; our own markup and numbers as they are."""
    return wording.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _style() -> Markup:
    return Markup(files("backstay.report").joinpath("templates", "report.css").read_text("utf-8"))  # noqa: S704  # our own file
