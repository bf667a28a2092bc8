import base64
import time

import pytest
from hostile_texts import PROSE

from backstay.errors import UsageError
from backstay.scan import NOT_SCANNED, Budget, LeakScanner, Scanner, View
from backstay.scan.prompt_leak import words_of

PROMPT = (
    "You are Harbour, the assistant of a shipping company. Never quote prices below the list. "
    "Ask for the customer number before you speak of orders, and send complaints to the desk in Bergen."
)
SCANNER = LeakScanner(PROMPT)


def by_hand(prompt: str, text: str) -> float:
    def runs(said: str) -> set[str]:
        words = "".join(c if c.isalnum() else " " for c in said.lower()).split()
        return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}

    return len(runs(prompt) & runs(text)) / len(runs(prompt))


@pytest.mark.parametrize(
    "text",
    [
        PROMPT,
        PROMPT[:90],
        PROMPT.upper(),
        PROMPT.replace(" ", "\n- "),
        PROSE,
        "",
        "Never quote prices below the list, it says.",
        "I was told: ask for the customer number before you speak of orders. Then more.",
    ],
)
def test_the_share_is_that_counted_by_hand(text: str) -> None:
    assert SCANNER.share(View.of(text)) == pytest.approx(by_hand(PROMPT, text))


def test_a_finding_spans_what_is_leaked() -> None:
    text = "Well: " + PROMPT[55:150] + " - so."
    (finding,) = SCANNER.scan(View.of(text))
    assert finding.kind == "prompt_leak" and finding.span is not None
    assert text[slice(*finding.span)] in PROMPT and len(text[slice(*finding.span)]) > 80
    assert finding.evidence.startswith(f"{by_hand(PROMPT, text):.0%}")


def test_severity_and_threshold() -> None:
    assert [f.severity for f in SCANNER.scan(View.of(PROMPT))] == ["critical"]
    part = PROMPT[:90]
    share = by_hand(PROMPT, part)
    assert [f.severity for f in LeakScanner(PROMPT, share).scan(View.of(part))] == ["high"]
    assert LeakScanner(PROMPT, share + 0.01).scan(View.of(part)) == ()
    with pytest.raises(UsageError, match="above 0"):
        LeakScanner(PROMPT, 0)


def test_decoded_text_counts_and_has_no_span() -> None:
    (finding,) = SCANNER.scan(View.of(base64.b64encode(PROMPT.encode()).decode()))
    assert finding.span is None and finding.severity == "critical"


def test_what_is_public_does_not_count() -> None:
    assert LeakScanner(PROMPT, public=(PROMPT,)).scan(View.of(PROMPT)) == ()
    assert LeakScanner(PROMPT, public=(PROMPT[:90],)).share(View.of(PROMPT[:90])) == 0.0


def test_short_and_eastern_prompts() -> None:
    assert LeakScanner("Be kind").share(View.of("they said: be KIND!")) == 1.0
    assert LeakScanner("").share(View.of("anything")) == 0.0
    assert words_of("價格不低於 list") == [*"價格不低於", "list"]
    (finding,) = LeakScanner("報價不得低於價目表").scan(View.of("好的,報價不得低於價目表。"))
    assert finding.span == (3, 12)


def test_a_spent_budget_is_told() -> None:
    assert NOT_SCANNED in [f.kind for f in SCANNER.scan(View.of("x"), Budget(time.monotonic() - 1))]
    scanner: Scanner = SCANNER
    assert scanner.name == "prompt_leak" and "Harbour" not in repr(SCANNER)
