import random
from collections.abc import Callable

import pytest
from stdnum import bitcoin, luhn, verhoeff
from stdnum.iso7064 import mod_11_10

from backstay.scan import checksums


def numbers(count: int, length: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("0123456789", k=length)) for _ in range(count)]


@pytest.mark.parametrize(
    ("ours", "oracle"),
    [
        (checksums.luhn, luhn.is_valid),
        (checksums.verhoeff, verhoeff.is_valid),
        (checksums.mod_11_10, mod_11_10.is_valid),
    ],
)
def test_the_same_as_another_library(ours: Callable[[bytes], bool], oracle: Callable[[str], bool]) -> None:
    tried = [number for length in (2, 9, 12, 16, 19) for number in numbers(400, length, length)]
    said = [ours(number.encode()) for number in tried]
    assert said == [oracle(number) for number in tried]
    assert 50 < sum(said) < 400


def test_letters_are_numbers_from_ten_on() -> None:
    assert checksums.letters_as_numbers(b"A1Z") == 10135


def test_weights_end_with_the_shorter() -> None:
    assert checksums.weighted(b"123", (3, 2, 1)) == 10 == checksums.weighted(b"1239", (3, 2, 1))


WALLETS = (
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
)


@pytest.mark.parametrize("wallet", WALLETS)
def test_published_wallets_and_their_neighbours(wallet: str) -> None:
    rng, check = random.Random(1), checksums.bech32 if wallet.startswith("bc1") else checksums.base58_check
    assert check(wallet.encode())
    for _ in range(100):
        place = rng.randrange(4, len(wallet))
        other = wallet[:place] + rng.choice("23456789acdefghjk") + wallet[place + 1 :]
        assert check(other.encode()) is bitcoin.is_valid(other) or wallet.startswith("bc1p")
        assert check(other.encode()) is (other == wallet)


def test_bech32_has_one_case_and_a_separator() -> None:
    wallet = WALLETS[2]
    assert checksums.bech32(wallet.upper().encode())
    assert not checksums.bech32((wallet[:10].upper() + wallet[10:]).encode())
    assert not checksums.bech32(b"qqqq") and not checksums.bech32(b"1qqqq")
