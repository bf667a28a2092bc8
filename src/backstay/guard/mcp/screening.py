"""Decisions on JSON from a server: every text in it, names of keys too, wherever it stands."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from backstay.guard.enforcer import Ruling
from backstay.guard.findings import is_wanted, replaced, wanted_by
from backstay.guard.gateway.context import Context
from backstay.guard.gateway.incoming import MASK, WITHHELD

MEDIA = frozenset({"image", "audio"})


class Screened(NamedTuple):
    """What was decided: the value as it may be passed on, None where it may not, and `why` it may not."""

    ruling: Ruling
    value: dict[str, Any] | None
    why: str
    text: str
    """Every text of what is passed on."""


def screen(
    context: Context,
    value: dict[str, Any],
    point: str,
    *,
    tool: str = "",
    action: str = "",
    args: Mapping[str, Any] | None = None,
) -> Screened:
    """Decide on a value, and replace in it what the policy wants replaced.

    What spans several texts, or stands in the name of a key, cannot be replaced: the whole is withheld then.
    """
    text = text_of(value)
    findings = context.scans.findings(text, point)
    ruling = context.ruled(
        context.enforcer.rule(
            context.exchange, point, text=text, findings=findings, tool=tool, action=action, args=args
        )
    )
    if ruling.decision.effect != "allow":
        return Screened(ruling, None, ruling.why, "")
    if not context.within_limits(ruling):
        return Screened(ruling, None, "a limit that policy sets is used up", "")
    context.count(ruling)
    wanted = wanted_by(ruling.decision.obligations)
    if not wanted or not any(is_wanted(f.kind, f.scanner, wanted) for f in findings):
        return Screened(ruling, value, "", text)
    changed: dict[str, Any] = redacted(context, value, point, wanted)
    text = text_of(changed)
    left = [f.kind for f in context.scans.findings(text, point) if is_wanted(f.kind, f.scanner, wanted)]
    if left:
        return Screened(ruling, None, f"it holds {left[0]}, which cannot be taken out of it", "")
    return Screened(ruling, changed, "", text)


def text_of(value: Any) -> str:
    """Every text and number in a value, each on a line; what is said to be a picture, a sound or a file is left out."""
    return "\n".join(_texts(value))


def _texts(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            unread = unread_keys(item)
            stack.extend(reversed([part for pair in item.items() if pair[0] not in unread for part in pair]))
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield str(item)


def kind_of(part: Mapping[str, Any]) -> str:
    """The type that a part says it has, "" for none."""
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def unread_keys(item: Mapping[str, Any]) -> frozenset[str]:
    """The keys under which data stands that no scanner reads."""
    if kind_of(item) in MEDIA and "data" in item:
        return frozenset({"data"})
    return frozenset({"blob"}) if "blob" in item else frozenset()


def without_media(value: Any) -> Any:
    """The value with a notice in place of each picture, sound and file."""
    if isinstance(value, list):
        return [without_media(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not unread_keys(value):
        return {name: without_media(item) for name, item in value.items()}
    kind = kind_of(value) if kind_of(value) in MEDIA else "file"
    notice = WITHHELD.format(why=f"no scanner reads this {kind}")
    if "blob" in value:
        return {name: item for name, item in value.items() if name in ("uri", "mimeType")} | {"text": notice}
    return {"type": "text", "text": notice}


def redacted(context: Context, value: Any, point: str, wanted: frozenset[str]) -> Any:
    """The value with every wanted finding in a text replaced; names of keys stay."""
    if isinstance(value, dict):
        unread = unread_keys(value)
        return {n: v if n in unread else redacted(context, v, point, wanted) for n, v in value.items()}
    if isinstance(value, list):
        return [redacted(context, item, point, wanted) for item in value]
    if not isinstance(value, str):
        return value
    return replaced(value, context.scans.findings(value, point), wanted, lambda kind: MASK.format(kind=kind)).text
