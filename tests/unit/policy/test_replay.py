import json
from typing import Any

from policy_texts import bundle, call, rule
from recorded_traffic import payload

from backstay.policy import PolicyBundle, Request, parse_policy
from backstay.policy.replay import Replay, enforcing

OLD = bundle([rule("small", "permit", "args.amount <= 50"), rule("ask", "hold", "args.amount > 40")])
AMOUNTS = [10, 20, 30, 45, 60]


def replayed(candidate: PolicyBundle, rows: list[str], *more: PolicyBundle, **options: Any) -> Replay:
    compared = Replay(candidate, *more, **options)
    for number, row in enumerate(rows):
        compared.add(row, f"entry {number}")
    return compared


def rows_of(policy: PolicyBundle, contents: Any = "full", amounts: list[int] = AMOUNTS, **more: Any) -> list[str]:
    return [payload(policy, call(args={"amount": n}, **more), f"d{n}", contents) for n in amounts]


def test_every_difference_is_counted_by_effect_and_rule_with_examples() -> None:
    new = bundle(
        [
            rule("small", "permit", "args.amount <= 20"),
            rule("ask", "hold", "args.amount == 30"),
            rule("never", when="args.amount > 50"),
        ]
    )
    found = replayed(new, rows_of(OLD)).as_json()
    assert (found["decisions"], found["same"], found["changed"], found["unknown"]) == (5, 2, 3, 0)
    assert found["before"] == {"allow": 3, "hold": 2}
    assert found["after"] == {"allow": 2, "hold": 1, "deny": 2}
    assert found["changes"] == [
        {
            "from": "allow",
            "to": "hold",
            "count": 1,
            "examples": ["d30"],
            "by": {"ask": {"count": 1, "examples": ["d30"]}},
            "was_by": {"small": {"count": 1, "examples": ["d30"]}},
        },
        {
            "from": "hold",
            "to": "deny",
            "count": 2,
            "examples": ["d45", "d60"],
            "by": {"(default)": {"count": 1, "examples": ["d45"]}, "never": {"count": 1, "examples": ["d60"]}},
            "was_by": {"ask": {"count": 2, "examples": ["d45", "d60"]}},
        },
    ]


def test_examples_are_as_many_as_asked_for() -> None:
    nothing = bundle([rule("never")])
    (change,) = replayed(nothing, rows_of(OLD, amounts=[1, 2, 3]), keep=2).as_json()["changes"]
    assert (change["count"], change["examples"]) == (3, ["d1", "d2"])


def test_errors_of_the_candidate_are_counted_by_rule() -> None:
    new = bundle([rule("small", "permit", "args.amount <= 50"), rule("typo", "hold", "args.amonut > 5")])
    found = replayed(new, rows_of(OLD))
    assert found.errors["typo"].count == 5
    assert found.after == {"hold": 5}


def test_other_obligations_with_the_same_effect_are_a_difference_of_their_own() -> None:
    new = bundle(
        [
            rule("small", "permit", "args.amount <= 50", obligations=[{"mask": {"args": ["amount"]}}]),
            rule("ask", "hold", "args.amount > 40"),
        ]
    )
    for against in ([], [OLD]):
        found = replayed(new, rows_of(OLD), *against)
        assert (found.same, found.changed) == (5, 0)
        assert {name: tally.count for name, tally in found.duties.ranked()} == {"allow": 3, "hold": 1}


def test_digests_only_make_unknown_what_reads_them_and_nothing_else() -> None:
    new = bundle([rule("small", "permit", "args.amount <= 20"), rule("role", when="'intern' in principal.roles")])
    rows = [*rows_of(OLD, "digests"), *rows_of(OLD, "digests", [7], roles=("intern",))]
    found = replayed(new, rows).as_json()
    assert (found["unknown"], found["changed"]) == (5, 1)
    assert found["unknown_because"] == {
        "arguments are recorded as digests only": {"count": 5, "examples": ["d10", "d20", "d30", "d45", "d60"]}
    }
    assert found["changes"][0]["by"] == {"role": {"count": 1, "examples": ["d7"]}}
    assert found["after"] == {"deny": 1}


def test_the_very_policy_that_decided_is_known_without_contents() -> None:
    found = replayed(OLD, rows_of(OLD, "digests"))
    assert (found.same, found.unknown) == (5, 0)
    other = bundle([rule("role", when="'intern' in principal.roles")])
    found = replayed(other, rows_of(OLD, "digests"), OLD)
    assert (found.before, found.after) == ({"allow": 3, "hold": 2}, {"deny": 5})


def edited(row: str, **change: Any) -> str:
    return json.dumps(json.loads(row) | change)


def without(row: str, key: str) -> str:
    return json.dumps({name: value for name, value in json.loads(row).items() if name != key})


def test_whether_contents_could_be_read_is_not_taken_for_granted() -> None:
    new = bundle([rule("role", "permit", "'lead' in principal.roles")])
    rows = [without(row, "readable") for row in rows_of(OLD, "digests", roles=("lead",))]
    found = replayed(new, rows)
    assert (found.unknown, found.assumed) == (5, 0)
    assert [name for name, _ in found.reasons.ranked()] == [
        "whether the contents, which are not recorded, could be read"
    ]
    found = replayed(new, rows, assume_readable=True)
    assert (found.unknown, found.assumed, found.after) == (0, 5, {"allow": 5})


def test_redacted_contents_are_not_decided_upon() -> None:
    new = bundle([rule("small", "permit", "args.amount <= 20")])
    row = json.loads(rows_of(OLD)[0])
    row["content"]["exact"] = False
    found = replayed(new, [json.dumps(row)])
    assert found.unknown == 1
    assert found.reasons["arguments are recorded redacted or masked"].count == 1


def test_numbers_whose_type_was_not_kept_are_unknown_only_where_they_are_read() -> None:
    row = json.loads(payload(OLD, call(args={"amount": 10.0})))
    del row["content"]["doubles"]
    assert replayed(bundle([rule("small", "permit", "args.amount + 1.0 < 20.0")]), [json.dumps(row)]).unknown == 1
    assert replayed(bundle([rule("small", "permit", "text == ''")]), [json.dumps(row)]).after == {"allow": 1}


COUNTED = {"n": {"count": True}}
FEW = rule("few", "permit", "counter.n < 3")


def test_counters_are_used_only_where_they_are_known_to_be_declared_alike() -> None:
    old = bundle([FEW], counters=COUNTED)
    new = bundle([{**FEW, "reason": "another"}], counters=COUNTED)
    other = bundle([FEW], counters={"n": {"count": True, "within_s": 60}})
    rows = [payload(old, call(counters={"n": n}), f"d{n}") for n in (0, 2, 3)]
    assert replayed(old, rows).after == {"allow": 2, "deny": 1}
    assert replayed(new, rows, old).after == {"allow": 2, "deny": 1}
    for found in (replayed(new, rows), replayed(other, rows, old)):
        assert found.unknown == 3
        assert found.reasons["counter.n is not known to have been declared alike"].count == 3


def test_sums_are_doubles_again_and_unknown_ones_err_as_they_did() -> None:
    paid = bundle([rule("some", "permit", "counter.paid + 1.0 < 20.0")], counters={"paid": {"sum": "args.amount"}})
    rows = [payload(paid, call(counters={"paid": value}), f"d{value}") for value in (10.0, 19.0, None)]
    found = replayed(paid, rows)
    assert (found.same, found.not_reproduced.count, found.after) == (3, 0, {"allow": 1, "deny": 2})
    assert found.errors["some"].count == 1


def test_a_row_that_its_own_policy_does_not_decide_so_is_pointed_out() -> None:
    rows = [edited(rows_of(OLD)[0], effect="deny"), *rows_of(OLD)[1:]]
    found = replayed(OLD, rows)
    assert found.not_reproduced.as_json() == {"count": 1, "examples": ["d10"]}
    assert found.changed == 1


def test_malformed_rows_are_counted_by_fault_and_named_by_entry() -> None:
    found = replayed(OLD, ["{}", "not json", edited(rows_of(OLD)[0], effect="maybe"), rows_of(OLD)[0]])
    assert (found.decisions, found.same) == (4, 1)
    assert found.malformed.total == 3
    assert found.malformed["effect: literal_error"].examples == ["entry 2"]


def test_decisions_add_up() -> None:
    new = bundle([rule("small", "permit", "args.amount <= 20"), rule("role", when="'intern' in principal.roles")])
    rows = [*rows_of(OLD), *rows_of(OLD, "digests"), "{}"]
    found = replayed(new, rows)
    assert found.same + found.changed + found.unknown + found.malformed.total == found.decisions == 11
    assert sum(found.before.values()) == sum(found.after.values()) == found.same + found.changed


def test_shadow_rules_count_only_in_the_enforcing_copy() -> None:
    text = json.dumps(
        {
            "policy": 1,
            "rules": [
                rule("small", "permit", "args.amount <= 50"),
                rule("trial", when="args.amount > 25", mode="shadow"),
            ],
        }
    )
    file = parse_policy(text, "p")
    written, enforced = (PolicyBundle.compile([("p", f)]) for f in (file, enforcing(file)))
    rows = rows_of(written)
    assert replayed(written, rows).changed == 0
    found = replayed(enforced, rows, enforces=written)
    assert found.changes["allow", "deny"].now["trial"].count == 2
    assert replayed(enforced, rows_of(written, "digests")).unknown == 5
    settled = replayed(enforced, rows_of(written, "digests"), enforces=written)
    assert (settled.unknown, settled.after) == (0, found.after)


def test_recorded_shadow_effects_settle_nothing_where_routes_may_conflict() -> None:
    routes = [[{"route": {"model": model}}] for model in ("m1", "m2")]
    rules = [
        rule("a", "permit", "args.amount > 0", obligations=routes[0]),
        rule("b", "permit", "args.amount > 0", obligations=routes[1], mode="shadow"),
    ]
    written, enforced = bundle(rules), bundle([{**each, "mode": "enforce"} for each in rules])
    assert written.decide(call()).shadow_effect == "allow"
    assert enforced.decide(call()).effect == "deny"
    assert replayed(enforced, rows_of(written), enforces=written).after == {"deny": 5}
    assert replayed(enforced, rows_of(written, "digests"), enforces=written).unknown == 5


def test_texts_are_replayed_at_other_points_too() -> None:
    old = bundle([rule("none", when="text == 'never'", point="request.input", tool="*")])
    new = bundle([rule("word", when="text.contains('password')", point="request.input", tool="*")])
    asked = [Request(point="request.input", text=text, findings={}) for text in ("a password", "hello", "")]
    rows = [payload(old, request) for request in asked[:2]] + [payload(old, asked[2], contents="digests")]
    found = replayed(new, rows)
    assert (found.after, found.unknown) == ({"deny": 1, "allow": 1}, 1)


def test_a_row_whose_values_were_escaped_is_known_only_to_the_policy_that_decided_it() -> None:
    row = payload(OLD, call(args={"amount": 2**60}))
    assert json.loads(row)["escaped"]
    assert replayed(OLD, [row]).same == 1
    found = replayed(bundle([rule("role", when="'intern' in principal.roles")]), [row])
    assert (found.unknown, list(found.reasons.as_json())) == (1, ["the row holds values that JSON cannot hold"])
