"""Which passwords are taken: long enough, and none of those that are tried first."""

import re
import unicodedata
from importlib.resources import files

from backstay.web.accounts.refusal import Refused

SHORTEST, LONGEST = 12, 1024
"""Code points, as typed."""

_WORDS = tuple(files("backstay.web.accounts").joinpath("common_words.txt").read_text("ascii").split())
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm")
_LEET = str.maketrans("013457@$!", "oleastasi")
_WALK = 4
"""Characters in a row of the alphabet or keyboard that count as one."""

_SEPARATORS = re.compile(r"[\s_.,;:/|+*#-]+")
_FEWEST_PARTS = 6


def normal_password(password: str) -> str:
    """A password as it is hashed (NFKC), so that the same keys give the same password on every system."""
    if len(password) > LONGEST or "\0" in password or any("\ud800" <= c <= "\udfff" for c in password):
        raise _refused(f"a password has at most {LONGEST} characters, and no NUL", "choose another one")
    return unicodedata.normalize("NFKC", password)


def check_new(password: str, *names: str) -> str:
    """The password as it is hashed; raises Refused where it is short, common, or made of one of `names`."""
    found = normal_password(password)
    if len(found) < SHORTEST:
        raise _refused(f"the password has {len(found)} characters", f"take {SHORTEST} or more; four random words do")
    own = tuple(name.lower() for name in names if len(name) > 2)
    if _parts_left(found, own) < _FEWEST_PARTS:
        raise _refused(
            "the password is one of those that are tried first", "take four random words, or a generated one"
        )
    return found


def _parts_left(password: str, names: tuple[str, ...]) -> int:
    """How many characters are left once common words count as one each, and so do runs and repetitions.

    `Password1234!` is a word and a run, 2; `aaaaaaaaaaaa` is 1.
    """
    plain = _SEPARATORS.sub("", password.lower())
    if not plain:
        plain = password
    return _count(_unrepeated(plain), names)


def _count(text: str, names: tuple[str, ...]) -> int:
    count, place = 0, 0
    words = sorted((*_WORDS, *names), key=len, reverse=True)
    meant = text.translate(_LEET)
    while place < len(text):
        word = next((word for word in words if text.startswith(word, place) or meant.startswith(word, place)), "")
        place += max(len(word), _walk(text, place), _same(text, place), _year(text, place), 1)
        count += 1
    return count


def _unrepeated(text: str) -> str:
    """The piece of which a text is made by repetition; the text where it is not."""
    place = (text + text).find(text, 1)
    return text[:place]


def _walk(text: str, place: int) -> int:
    """Length of the longest stretch of a row, in either direction, that begins here; 0 where it is too short."""
    best = 0
    for row in (*_ROWS, *(row[::-1] for row in _ROWS)):
        length = 0
        while place + length < len(text) and text[place : place + length + 1] in row:
            length += 1
        best = max(best, length)
    return best if best >= _WALK else 0


def _same(text: str, place: int) -> int:
    length = 1
    while place + length < len(text) and text[place + length] == text[place]:
        length += 1
    return length


def _year(text: str, place: int) -> int:
    return 4 if re.match(r"(19|20)\d\d", text[place : place + 4]) else 0


def _refused(message: str, cure: str) -> Refused:
    return Refused(400, "password_refused", message, cure=cure)
