"""Chat templates are code from strangers: rendered in Jinja's immutable sandbox, with nothing to call."""

from collections.abc import Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backstay.errors import UsageError
from backstay.records import Message

MAX_TEMPLATE_CHARACTERS = 100_000
MAX_PRODUCT = 100_000


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox bounds `range`, but not a product of a string; nor the time that a loop in a loop takes."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply small numbers only."""
        plain = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" or not plain or abs(left) > MAX_PRODUCT or abs(right) > MAX_PRODUCT:
            raise TemplateError(f"{operator} of {type(left).__name__} and {type(right).__name__} is not allowed")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """A model's chat template. Control tokens inside a message are defused, so that no message can end its own turn."""

    def __init__(self, source: str, *, bos_token: str, eos_token: str, control_tokens: Sequence[str]) -> None:
        if len(source) > MAX_TEMPLATE_CHARACTERS:
            raise UsageError(f"chat template has {len(source)} characters, more than {MAX_TEMPLATE_CHARACTERS}")
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[loopcontrols])
        environment.globals["raise_exception"] = _refuse
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._control = tuple(sorted((token for token in control_tokens if len(token) > 1), key=len, reverse=True))
        self._template = _compiled(environment, source)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The dialogue as text for the tokenizer; raises UsageError when the template refuses it."""
        turns = [{"role": m.role, "content": self.defuse(m.content)} for m in messages]
        try:
            return str(
                self._template.render(messages=turns, add_generation_prompt=add_generation_prompt, **self._tokens)
            )
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RuntimeError, MemoryError) as error:
            raise UsageError(f"the model's chat template refused a dialogue: {error}") from error

    def defuse(self, text: str) -> str:
        """Break every control token that stands in `text` by a space after its first character."""
        for token in self._control:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def _compiled(environment: ImmutableSandboxedEnvironment, source: str):  # type: ignore[no-untyped-def]  # jinja2.Template
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise UsageError(f"the model's chat template does not parse: {error}") from error


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
