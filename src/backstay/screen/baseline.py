"""The safety baseline: a file of rules that say which preferences contradict it."""

import difflib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backstay.errors import UsageError
from backstay.records import Finding, Prompt
from backstay.scan import (
    PERSONAL_KINDS,
    compile_phrase,
    compile_regex,
    complies,
    harm_probability,
    plain_words,
    refusal_probability,
    refuses,
    scan_personal,
    scan_terms,
)

SCANNER = "baseline"
MAX_BYTES = 1_000_000
Severity = Literal["info", "low", "medium", "high", "critical"]
Attitude = Literal["refuses", "complies"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RegexPattern(_Closed):
    """A regular expression over lower-case words; what may stand in it is limited."""

    regex: str


class Matches(_Closed):
    """An answer that holds one of these phrases."""

    matches: list[str | RegexPattern] = Field(min_length=1)


class Scored(_Closed):
    """An answer whose probability of being a refusal, by the classifier alone, lies in this range."""

    refusal_at_least: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    refusal_at_most: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _range(self) -> "Scored":
        if not self.model_fields_set or self.refusal_at_least > self.refusal_at_most:
            raise ValueError("needs refusal_at_least or refusal_at_most, the first not above the second")
        return self


class When(_Closed):
    """Everything that must hold for a rule to fire."""

    prompt_any: list[str | RegexPattern] = Field(default_factory=list)
    """Phrases of which the last user message holds at least one."""

    prompt_none: list[str | RegexPattern] = Field(default_factory=list)
    """Phrases of which it holds none."""

    prompt_harm: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    """Probability, by the classifier, from which on the last user message counts as harmful.

    Beside `prompt_any` it is an alternative: one of both is enough.
    """

    prompt_tags: dict[str, str | bool | int] = Field(default_factory=dict)
    """Tags that the prompt carries with exactly these values."""

    chosen: Attitude | Matches | Scored | None = None
    """What the preferred answer does."""

    rejected: Attitude | Matches | Scored | None = None
    """What the other answer does."""

    chosen_finds: list[str] = Field(default_factory=list)
    """Kinds of personal data of which the preferred answer holds at least one."""

    @model_validator(mode="after")
    def _something(self) -> "When":
        if not self.model_fields_set:
            raise ValueError("is empty and would fire on every pair")
        unknown = sorted(set(self.chosen_finds) - set(PERSONAL_KINDS))
        if unknown:
            raise ValueError(f"chosen_finds names {unknown}; known are {', '.join(PERSONAL_KINDS)}")
        return self


class Rule(_Closed):
    """One rule of a baseline."""

    id: str = Field(min_length=1)
    when: When
    severity: Severity
    reason: str = Field(min_length=1)


class BaselineFile(_Closed):
    """A whole baseline file."""

    version: Literal[1]
    rules: list[Rule]

    @model_validator(mode="after")
    def _unique(self) -> "BaselineFile":
        ids = [rule.id for rule in self.rules]
        twice = sorted({rule_id for rule_id in ids if ids.count(rule_id) > 1})
        if twice:
            raise ValueError(f"rule ids are used twice: {', '.join(twice)}")
        return self


Patterns = tuple[re.Pattern[str], ...]
Side = Attitude | Matches | Scored | None


@dataclass(frozen=True)
class CompiledRule:
    """A rule with its phrases compiled."""

    rule: Rule
    prompt_any: Patterns
    prompt_none: Patterns
    chosen: Patterns
    rejected: Patterns


@dataclass(frozen=True)
class Baseline:
    """Rules ready to be asked."""

    rules: tuple[CompiledRule, ...]

    def check(self, prompt: Prompt, chosen: str, rejected: str) -> tuple[Finding, ...]:
        """One finding for each rule that fires on the preference of `chosen` over `rejected`."""
        request = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
        fired = (self._fire(compiled, prompt, request, chosen, rejected) for compiled in self.rules)
        return tuple(finding for finding in fired if finding is not None)

    @staticmethod
    def _fire(compiled: CompiledRule, prompt: Prompt, request: str, chosen: str, rejected: str) -> Finding | None:
        rule, when = compiled.rule, compiled.rule.when
        if any(prompt.tags.get(key) != value for key, value in when.prompt_tags.items()):
            return None
        topic = _topic(compiled, request)
        if topic is None or scan_terms(request, compiled.prompt_none, topic=rule.id):
            return None
        if not _does(when.chosen, compiled.chosen, chosen) or not _does(when.rejected, compiled.rejected, rejected):
            return None
        held = [finding for finding in scan_personal(chosen) if finding.kind in when.chosen_finds]
        if when.chosen_finds and not held:
            return None
        evidence = "; ".join([topic] * bool(topic) + [f"{f.kind}: {f.evidence}" for f in held])
        text = f"{rule.reason} [{evidence}]" if evidence else rule.reason
        return Finding(
            scanner=SCANNER,
            kind=rule.id,
            severity=rule.severity,
            span=held[0].span if held else None,
            evidence=text,
        )


def _topic(compiled: CompiledRule, request: str) -> str | None:
    """Why the request is one that the rule is about; empty when it is about any, None when it is not about this one."""
    when = compiled.rule.when
    found = scan_terms(request, compiled.prompt_any, topic=compiled.rule.id)
    if found:
        return f"request: {found[0].evidence}"
    if when.prompt_harm is not None:
        harm = harm_probability(request)
        return f"request: harmful with probability {harm:.2f}" if harm >= when.prompt_harm else None
    return None if when.prompt_any else ""


def _does(wanted: Side, patterns: Patterns, text: str) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, Matches):
        plain = plain_words(text)
        return any(pattern.search(plain) for pattern in patterns)
    if isinstance(wanted, Scored):
        inside = wanted.refusal_at_least <= refusal_probability(text) <= wanted.refusal_at_most
        return bool(text.strip()) and inside
    return refuses(text) if wanted == "refuses" else complies(text)


def load_baseline(source: str = "default") -> Baseline:
    """Read a baseline: `default`, `none`, or the path of a file; raises UsageError naming the file and its fault."""
    if source == "none":
        return Baseline(())
    if source == "default":
        return parse_baseline(files("backstay.screen").joinpath("baseline.yaml").read_text("utf-8"), "default baseline")
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"baseline {path} does not exist", cure="give the path of a file, `default` or `none`")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"baseline {path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
    return parse_baseline(path.read_text(encoding="utf-8"), str(path))


def parse_baseline(text: str, source: str) -> Baseline:
    """Parse and compile a baseline; raises UsageError."""
    if re.search(r"(?m)^[^#\n]*(?::|-)\s+[&*]\w", text):
        raise UsageError(f"{source} uses YAML anchors or aliases", cure="write the values out")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{source} is no YAML: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{source} is no mapping", cure="it starts with `version: 1` and `rules:`")
    try:
        parsed = BaselineFile.model_validate(data)
    except ValidationError as error:
        raise UsageError(_explain(error, source)) from error
    return Baseline(tuple(_compile(rule, source) for rule in parsed.rules))


def _compile(rule: Rule, source: str) -> CompiledRule:
    def patterns(side: Side) -> Patterns:
        return _patterns(side.matches, rule, source) if isinstance(side, Matches) else ()

    when = rule.when
    return CompiledRule(
        rule,
        _patterns(when.prompt_any, rule, source),
        _patterns(when.prompt_none, rule, source),
        patterns(when.chosen),
        patterns(when.rejected),
    )


def _patterns(written: list[str | RegexPattern], rule: Rule, source: str) -> Patterns:
    try:
        return tuple(compile_phrase(p) if isinstance(p, str) else compile_regex(p.regex) for p in written)
    except UsageError as error:
        raise UsageError(f"rule {rule.id} of {source}: {error.message}", cure=error.cure) from error


_KNOWN_KEYS = sorted(
    {key for model in (BaselineFile, Rule, When, Matches, Scored, RegexPattern) for key in model.model_fields}
)


def _explain(error: ValidationError, source: str) -> str:
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), _KNOWN_KEYS, n=1, cutoff=0.5)
            known = f"nearest known key: {near[0]}" if near else f"known keys: {', '.join(_KNOWN_KEYS)}"
            lines.append(f"unknown key {place}; {known}")
        else:
            lines.append(f"{place}: {problem['msg']}")
    return f"{source} is no valid baseline: " + "; ".join(dict.fromkeys(lines))


def describe(baseline: Baseline) -> list[dict[str, Any]]:
    """Id, severity and reason of each rule, for reports."""
    return [{"id": c.rule.id, "severity": c.rule.severity, "reason": c.rule.reason} for c in baseline.rules]
