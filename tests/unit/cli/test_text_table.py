from backstay.cli.text_table import text_table


def test_columns_stand_side_by_side_and_numbers_to_the_right() -> None:
    head, body = text_table(("id", "share"), [("a", 0.123456), ("long", 12)], width=80)
    assert [head, *body] == ["id     share", "a     0.1235", "long      12"]


def test_a_table_without_rows_is_its_heads() -> None:
    assert text_table(("id", "what"), [], width=80) == ("id  what", [])


def test_a_long_cell_is_folded_between_words_and_no_line_is_too_long() -> None:
    head, body = text_table(("what", "found"), [("disk", "forty seven gigabytes are free here"), ("b", "c")], width=24)
    assert [head, *body] == ["what  found", "disk  forty seven", "      gigabytes are free", "      here", "b     c"]
    assert max(map(len, body)) <= 24


def test_a_word_longer_than_the_line_is_cut_and_nothing_is_lost() -> None:
    _, body = text_table(("a", "b"), [("x" * 50, "y" * 30)], width=30)
    assert max(map(len, body)) <= 30
    assert "".join(body).count("x") == 50 and "".join(body).count("y") == 30


def test_wide_characters_take_two_places() -> None:
    _, body = text_table(("a", "b"), [("你好", "x"), ("abcd", "x")], width=80)
    assert body == ["你好  x", "abcd  x"]
    _, folded = text_table(("a",), [("你好" * 10,)], width=12)
    assert folded == ["你好你好你好", "你好你好你好", "你好你好你好", "你好"]


def test_no_cell_steers_the_terminal() -> None:
    _, body = text_table(("a", "b"), [("\x1b[2J", "1\r2\nsecond \u202eline")], width=80)
    assert body == ["\ufffd[2J  1", "      2", "      second \ufffdline"]


def test_where_there_is_no_room_columns_keep_six_places() -> None:
    head, _ = text_table(("abcdefgh", "ijklmnop"), [("12345678", "12345678")], width=5)
    assert head == "abcdef  ijklmn"
