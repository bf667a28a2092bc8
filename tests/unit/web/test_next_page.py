from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.web.next_page import next_of


@pytest.mark.parametrize("path", ["/account", "/rate/my-project", "/rate/p?item=3&x=a_b", "/a.b~c/"])
def test_a_page_of_ours_is_where_one_goes(path: str) -> None:
    assert next_of(path) == path


@given(st.text(alphabet="/\\:?#%.@&= \t\r\nab2f", max_size=12))
def test_no_text_leads_to_another_host(text: str) -> None:
    """Read as browsers read it: backslashes are slashes, tabs and line ends are not there."""
    found = next_of(text)
    as_read = found.replace("\\", "/").translate({ord(c): None for c in "\t\r\n"})
    assert urlsplit(urljoin("https://ours.example/sign-in", as_read)).netloc == "ours.example"
    assert as_read == found
