"""RE2 and Aho-Corasick, imported when first needed, with the cure where they are missing."""

from functools import cache
from typing import Any

from backstay.errors import ResourceError

CURE = "pip install 'backstay[guard]'"


@cache
def compile_re2(pattern: bytes, *, ignore_case: bool = False) -> Any:
    """A compiled RE2 pattern over bytes: linear time whatever the text."""
    try:
        import re2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ResourceError("content scanning needs google-re2, which is not installed", cure=CURE) from error
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return re2.compile(pattern, options)


def literal_automaton(literals: list[bytes]) -> Any:
    """An Aho-Corasick automaton over bytes, every overlapping occurrence reported."""
    try:
        import ahocorasick_rs  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ResourceError("content scanning needs ahocorasick-rs, which is not installed", cure=CURE) from error
    return ahocorasick_rs.BytesAhoCorasick(literals)
