import pytest

from backstay.web.accounts.password_rules import LONGEST, check_new, normal_password
from backstay.web.accounts.refusal import Refused


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevenchars",
        "password1234",
        "Password1234!",
        "P@ssw0rd123456",
        "passwordpassword",
        "aaaaaaaaaaaaaaaa",
        "123456789012",
        "abcdefghijklmnop",
        "qwertyuiop1234",
        "abcabcabcabcabc",
        "letmein-letmein-2024",
        "Summer2026Summer",
        "iloveyou123456",
        "backstay2026!!",
        "------------------",
        "welcome admin 123",
    ],
)
def test_what_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(Refused) as refused:
        check_new(password)
    assert (refused.value.status, refused.value.code) == (400, "password_refused")
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "8Kp!vx2@Lq7#",
        "ein alter Kahn im Schilf",
        "tr0ub4dor&3-quince",
        "水水山山川川火火木木金金土",
    ],
)
def test_others_are_taken(password: str) -> None:
    assert check_new(password) == password


def test_the_account_s_own_names_are_no_password() -> None:
    check_new("rosalind.frk")
    with pytest.raises(Refused):
        check_new("Rosalind1234", "rosalind")


def test_the_same_keys_give_the_same_password_on_every_system() -> None:
    assert check_new("Zu\u0308rich im Nebel") == check_new("Z\u00fcrich im Nebel")
    assert normal_password("ﬁsh and chips") == "fish and chips"


@pytest.mark.parametrize("password", ["x" * (LONGEST + 1), "a lamp under\0 water", "a lamp under \ud800 water"])
def test_what_cannot_be_hashed_the_same_way_everywhere_is_refused(password: str) -> None:
    with pytest.raises(Refused):
        normal_password(password)


def test_a_long_password_is_checked_in_no_time() -> None:
    """Work grows with the length only: 1,024 characters need no more than a few passes over the rows."""
    for text in ("ab" * 512, "a" * 1023 + "b", "abcdefgh" * 128):
        with pytest.raises(Refused):
            check_new(text)
