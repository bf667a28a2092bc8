import numpy as np
import pytest

from backstay.records import Message, Pair, Prompt
from backstay.screen.label_noise import flagged, label_noise, wrong_label_probability
from backstay.screen.margins import Margins
from backstay.screen.texts import PairTexts

NOISE = 0.2


def margins(preferred: list[float], noise: float = NOISE) -> Margins:
    p = np.array(preferred)
    return Margins(np.log(p / (1.0 - p)), p, noise + (1.0 - 2.0 * noise) * p, noise, 5, 0)


def rows(p_a: list[float], *, gold: bool = False) -> list[PairTexts]:
    prompt = Prompt.make((Message(role="user", content="q"),), source="test")
    found = []
    for i, label in enumerate(p_a):
        pair = Pair(
            id=f"p{i}", prompt_id=prompt.id, a=f"{i}a", b=f"{i}b", p_a=label, weight=1.0, provenance={"gold": gold}
        )
        sided = abs(label - 0.5) > 0.1
        found.append(PairTexts(pair, prompt, "x", "y", "x" if sided else None, "y" if sided else None))
    return found


def test_bayes_rule_by_simulation() -> None:
    rng = np.random.default_rng(0)
    p = 0.9
    truth = rng.random(400_000) < p
    flipped = rng.random(400_000) < NOISE
    says_a = truth ^ flipped
    found = wrong_label_probability(margins([p, p]), np.array([True, False]))
    assert found[0] == pytest.approx(flipped[says_a].mean(), abs=0.005)
    assert found[1] == pytest.approx(flipped[~says_a].mean(), abs=0.005)


def test_no_noise_no_wrong_label() -> None:
    found = wrong_label_probability(margins([0.01, 0.5, 0.99], noise=0.0), np.array([True, True, False]))
    assert not found.any()


def test_flagged_is_the_largest_prefix_within_the_bound() -> None:
    rng = np.random.default_rng(1)
    wrong = rng.random(200)
    mask = flagged(wrong, 0.25, 1.0)
    order = np.sort(wrong)[::-1]
    best = max(k for k in range(201) if k == 0 or np.mean(1.0 - order[:k]) <= 0.25)
    assert int(mask.sum()) == best
    assert wrong[mask].min() > wrong[~mask].max()
    assert int(flagged(wrong, 0.25, 0.05).sum()) == 10
    assert not flagged(wrong, 0.0, 1.0).any()


def test_expected_false_share_holds() -> None:
    """On labels made by the model that is assumed, the share of right labels among the flagged is the one promised."""
    rng = np.random.default_rng(2)
    p = rng.beta(0.4, 0.4, 30_000).clip(1e-6, 1 - 1e-6)
    flipped = rng.random(30_000) < NOISE
    says_a = (rng.random(30_000) < p) ^ flipped
    mask = flagged(wrong_label_probability(margins(p.tolist()), says_a), 0.25, 1.0)
    assert mask.mean() > 0.1
    assert 1.0 - flipped[mask].mean() == pytest.approx(0.25, abs=0.02)


def test_findings_name_pair_and_reason() -> None:
    labels = [1.0] * 299 + [0.0]
    given = margins([0.99] * 300)
    found, summary = label_noise(rows(labels), margins=given)
    assert set(found) == {"p299"}
    (finding,) = found["p299"]
    assert (finding.scanner, finding.kind) == ("label_noise", "label_noise")
    assert "1%" in finding.evidence and "20%" in finding.evidence
    assert summary["flagged"] == 1
    assert summary["by_source"] == {"test": {"checked": 300, "flagged": 1}}
    right = 0.8 * 0.01 / (0.8 * 0.01 + 0.2 * 0.99)
    assert summary["expected_false_share"] == pytest.approx(right, abs=1e-4)


def test_gold_and_undecided_pairs_are_left_alone() -> None:
    given = margins([0.99] * 300)
    assert label_noise(rows([0.0] * 300, gold=True), margins=given)[0] == {}
    found, summary = label_noise(rows([1.0] * 250 + [0.45] * 50), margins=given)
    assert found == {}
    assert summary["checked"] == 250


@pytest.mark.parametrize(("false_share", "limit"), [(0.0, 0.4), (0.25, 0.0)])
def test_off(false_share: float, limit: float) -> None:
    given = margins([0.99] * 300)
    found, summary = label_noise(rows([0.0] * 300), margins=given, false_share=false_share, limit=limit)
    assert found == {}
    assert summary["why"] == "off"


def test_few_pairs_say_nothing() -> None:
    found, summary = label_noise(rows([0.0] * 50), margins=margins([0.99] * 50))
    assert found == {}
    assert summary["why"] == "below 200"
