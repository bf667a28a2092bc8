from policy_texts import bundle, call, rule
from recorded_traffic import payload

from backstay.policy.recorded import read_row
from backstay.policy.shadow import ShadowRecord

RULES = [
    rule("small", "permit", "args.amount <= 50"),
    rule("trial", when="args.amount > 25", mode="shadow"),
    rule("asks", "hold", "args.amount > 15", mode="shadow"),
    rule("typo", "hold", "args.amonut > 5", mode="shadow"),
    rule("opens", "permit", "args.amount < 100", mode="shadow"),
]


def recorded(amounts: list[int]) -> ShadowRecord:
    record = ShadowRecord(keep=2)
    for n in amounts:
        record.add(read_row(payload(bundle(RULES), call(args={"amount": n}), f"d{n}", "digests")))
    return record


def test_each_rule_is_counted_for_what_it_alone_had_changed() -> None:
    found = recorded([10, 20, 30, 60]).as_json()
    rules = found["rules"]
    counts = {
        name: [r["asked"], r["applied"], r["erred"], *(r[f"would_{e}"]["count"] for e in ("deny", "hold", "allow"))]
        for name, r in rules.items()
    }
    assert counts == {
        "trial": [4, 2, 0, 1, 0, 0],
        "asks": [4, 3, 0, 0, 3, 0],
        "typo": [4, 0, 4, 0, 4, 0],
        "opens": [4, 4, 0, 0, 0, 1],
    }
    assert rules["trial"]["would_deny"]["examples"] == ["d30"]
    assert rules["opens"]["would_allow"]["examples"] == ["d60"]


def test_together_they_give_the_recorded_shadow_effect() -> None:
    found = recorded([10, 20, 30, 60])
    assert dict(found.together) == {("allow", "hold"): 2, ("allow", "deny"): 1, ("deny", "deny"): 1}


def test_decisions_without_shadow_rules_and_malformed_rows() -> None:
    record = ShadowRecord()
    record.add(read_row(payload(bundle(RULES[:1]), call())))
    record.add(None)
    assert (record.decisions, record.malformed) == (0, 1)
