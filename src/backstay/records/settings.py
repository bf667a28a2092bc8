"""The base of every settings model: frozen, closed, each field described by the string under it."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of one stage; unknown keys are refused, values are never coerced between types."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
