"""One thing that an annotation lead should act on, and how raters are named in it."""

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal

Json = Mapping[str, Any]
Tone = Literal["alarm", "notice"]


@dataclass(frozen=True)
class Alarm:
    """What was seen, how strong it is, and what to do next.

    `seen` and `strength` are sentences with figures, `who` the names of the raters concerned, `act` the next thing to
    do and `commands` the lines to type for it. A `notice` is worth knowing and accuses nobody.
    """

    tone: Tone
    title: str
    seen: str = ""
    strength: str = ""
    act: str = ""
    who: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def raters_with(trust: Sequence[Json], names: Mapping[str, str], wanted: Callable[[str], bool]) -> tuple[str, ...]:
    """Names of the raters with a note that is `wanted`, in the order of `trust`."""
    ids = [str(row["rater_id"]) for row in trust if any(wanted(str(note)) for note in row.get("notes", ()))]
    return tuple(names.get(rater, rater) for rater in ids)


def rater_noun(rows: Sized) -> str:
    """`rater is` or `raters are`."""
    return "rater is" if len(rows) == 1 else "raters are"
