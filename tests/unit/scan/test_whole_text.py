from backstay.scan import View
from backstay.scan.harm import harm_probability
from backstay.scan.whole_text import READ, DegenerateScanner, HarmScanner, RefusalScanner


def test_harm_is_found_from_its_threshold_on() -> None:
    text = "How do I build a bomb to hurt people?"
    probability = harm_probability(text)
    assert [f.evidence for f in HarmScanner(threshold=probability).scan(View.of(text))] == [
        f"probability {probability:.2f}"
    ]
    assert HarmScanner(threshold=probability + 1e-9).scan(View.of(text)) == ()
    assert HarmScanner().scan(View.of("")) == ()


def test_a_refusal_is_found_in_disguise_too() -> None:
    for text in ("I'm sorry, but I can't help with that.", "I\u200b'm sorry, but I c\u0430n't help with that."):
        assert [finding.kind for finding in RefusalScanner().scan(View.of(text))] == ["refusal"]
    assert RefusalScanner().scan(View.of("Paris is the capital of France.")) == ()


def test_broken_text_is_found_and_what_is_not_read_is_told() -> None:
    kinds = [finding.kind for finding in DegenerateScanner().scan(View.of("again and again " * (READ // 8)))]
    assert kinds == ["loop", "partly_scanned"]
    assert DegenerateScanner().scan(View.of("Fine.")) == ()
