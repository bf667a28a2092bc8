from html.parser import HTMLParser

import pytest
from approval_world import action
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.guard.approvals import Approval, State, digest_of, rendered
from backstay.guard.inbox.exact_text import exact_text

pytestmark = pytest.mark.property
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\"u<>&\u202e\u200b\n}{: '), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


class Text(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.tags: set[str] = set()
        self.feed(str(source))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def approval(args: dict[str, object], *editors: str) -> Approval:
    content = action(args=args).content()
    return Approval(
        id="1", state=State.PENDING, version=1, digest=digest_of(content), content=content, asked_at_ms=0,
        expires_at_ms=1, editors=editors,
    )  # fmt: skip


@given(st.dictionaries(TEXT, VALUES, max_size=3), st.dictionaries(TEXT, VALUES, max_size=3))
@settings(max_examples=150, deadline=None)
def test_html_holds_the_rendering_and_no_tag_of_its_content(
    before: dict[str, object], after: dict[str, object]
) -> None:
    for raw in (rendered(approval(before)), rendered(approval(after, "bob"), approval(before))):
        parsed = Text(exact_text(raw).html)
        assert parsed.text.encode() == raw
        assert parsed.tags <= {"b", "mark", "del", "ins"}
