"""What of the traffic is kept for rating and red-teaming; nothing, unless the operator says so."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from backstay.policy.points import is_glob
from backstay.records import Settings

Reason = Literal["denied", "held", "approved", "thumbed"]


def _pattern(value: str) -> str:
    if not is_glob(value):
        raise ValueError(f"{value!r} is no pattern of principals")
    return value


class HarvestSettings(Settings):
    """`harvest` in guard.yaml."""

    keep: tuple[Reason, ...] = Field(default=(), strict=False)
    """Exchanges in which something was denied, held, approved, or that got a thumb; () = nothing is kept."""
    sample: float = Field(default=0.0, ge=0, le=1)
    """Share of all other exchanges that is kept too; 0 = none."""
    redact: tuple[str, ...] = Field(default=("*",), strict=False)
    """Kinds or scanners whose findings are replaced; `*` = all. Secrets, personal data and canaries always are."""
    keep_days: float = Field(default=30.0, gt=0, le=3650)
    """Days after which what was kept is deleted."""
    thumb_hours: float = Field(default=24.0, gt=0, le=8760)
    """Hours that an exchange waits for a thumb, where `thumbed` is kept; without one it is deleted."""
    principals: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(default=(), strict=False)
    """Patterns of the principals whose exchanges may be kept, for example ["*"]; must be given to keep anything."""
    system: bool = False
    """Whether the system's prompt is kept with an exchange."""
    max_characters: int = Field(default=200_000, ge=1000)
    """An exchange with more text is not kept."""
    feedback_per_minute: int = Field(default=30, ge=1)
    """Thumbs that one principal may give a minute."""

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return bool(self.keep) or self.sample > 0

    @model_validator(mode="after")
    def _named(self) -> "HarvestSettings":
        if self.on and not self.principals:
            raise ValueError('harvest keeps traffic only of principals that are named; principals: ["*"] is everybody')
        return self
