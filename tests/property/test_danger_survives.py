"""Whatever a text is, the scanners of danger end, raise nothing, and place what they find within it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.scan import View
from backstay.scan.code_danger import CodeDanger
from backstay.scan.shell_danger import ShellDanger
from backstay.scan.sql_danger import SqlDanger

pytestmark = pytest.mark.property

SHELL = (
    "rm|-rf|/|~|$X|${A:-b}|$(|)|`|'|\"|\\|;|&&||||<<E|\n|E|>|/etc/x|curl|sh|-c|eval|{|}|if|then|fi|for|do|done|=|é|\x00"
    "|$'\\x41'|find|-exec|sudo|env|[[|((|alias|(|&"
)
SQL = (
    "SELECT|DROP TABLE|x|;|'|\"|--|/*|*/|/*!|(|)|WHERE|1=1|OR|UPDATE|SET|=|DELETE FROM|EXEC|$$|`|[|]|\n|\\|,|é|#|::"
    "|CASE|END|NOT|BETWEEN|AND|IN|EXISTS"
)
CODE = (
    "exec|(|)|import os|\n|os.system|'|\"|f'{|}|[|]|=|.|lambda:|x|def f|:| |\t|#|\\|eval|getattr|,|+|if|else|@|é|\x00"
    "|1|**|>>> |cur.execute|subprocess.run"
)
MARK = '```sh\n|```\n|`|{"command": "|"}|["|", "|~~~sql\n|~~~\n|\u200b|\ud800'


def made_of(parts: str) -> st.SearchStrategy[str]:
    pieces = [piece for piece in f"{parts}|{MARK}".split("|") if piece] + ["|", " "]
    return st.lists(st.sampled_from(pieces), max_size=60).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(made_of(SHELL), made_of(SQL), made_of(CODE), st.text(max_size=80)), assume=st.booleans())
def test_any_text_is_survived(text: str, assume: bool) -> None:
    view = View.of(text)
    for scanner in (ShellDanger(assume=assume), SqlDanger(assume=assume), CodeDanger(assume=assume)):
        for finding in scanner.scan(view):
            assert finding.span is not None
            start, end = finding.span
            assert 0 <= start <= end <= len(text)
