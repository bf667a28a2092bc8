"""Settings of the report stage."""

from typing import Annotated, Literal

from pydantic import Field

from backstay.records import Settings


class ReportSettings(Settings):
    """What report.html shows."""

    show_texts: Literal["own", "all", "none"] = "own"
    """Whose prompts and answers are printed: `own` = those of data sets that came with Backstay or were written for
    this project, `all` = imported ones too, `none` = no texts at all. What is not shown is not in the file either."""
    samples: Annotated[int, Field(ge=0)] = 12
    """Held-out prompts shown side by side without a click; the rest of the samples is folded; 0 = all folded."""
    raters: Annotated[int, Field(ge=2)] = 40
    """Raters in the trust chart, least trusted first; the others are counted beside it."""
