from typing import Any

from policy_texts import bundle, call, rule

from backstay.policy.partial import PartialDecider

ARGS = {"args": "arguments are not recorded"}


def effects(rules: list[dict[str, Any]], missing: dict[str, str], errs: bool | None = False, **head: Any) -> set[str]:
    return set(PartialDecider(bundle(rules, **head)).decide(call(), missing, errs=errs).effects)


def test_what_no_condition_reads_is_not_missed() -> None:
    found = PartialDecider(bundle([rule("a", "permit", "tool == 'pay'")])).decide(call(), ARGS | {"text": "t"})
    assert (found.effects, found.rules, found.reasons) == (frozenset({"allow"}), ("a",), ())
    assert found.decision is not None


def test_a_condition_that_reads_what_is_missing_may_say_anything() -> None:
    assert effects([rule("a", "permit", "args.amount < 5")], ARGS) == {"allow", "deny"}
    assert effects([rule("a", "hold", "args.amount < 5"), rule("b", "permit", "tool == 'pay'")], ARGS) == {
        "hold",
        "allow",
    }
    assert effects([rule("a", "forbid", "args.amount < 5"), rule("b", "hold", "tool == 'pay'")], ARGS) == {
        "deny",
        "hold",
    }
    everything = [rule(effect, effect, "args.amount < 5") for effect in ("permit", "hold", "forbid")]
    assert effects(everything, ARGS) == {"allow", "hold", "deny"}


def test_a_stronger_rule_that_surely_decides_leaves_nothing_open() -> None:
    found = PartialDecider(
        bundle([rule("a", "permit", "args.amount < 5"), rule("b", "forbid", "tool == 'pay'")])
    ).decide(call(), ARGS)
    assert (found.effects, found.rules) == (frozenset({"deny"}), ("b",))


def test_without_a_permit_a_call_is_denied_by_default_whatever_is_missing() -> None:
    assert effects([rule("a", "permit", "tool == 'other' && args.amount < 5")], ARGS) == {"allow", "deny"}
    assert effects([rule("a", "permit", "args.amount < 5", tool="other")], ARGS) == {"deny"}


def test_reasons_name_what_is_missing_and_matters() -> None:
    decider = PartialDecider(
        bundle([rule("a", "permit", "args.amount < 5"), rule("b", when="text == ''", mode="shadow")])
    )
    assert decider.decide(call(), ARGS | {"text": "no text"}).reasons == ("arguments are not recorded",)
    assert "could be read" in decider.decide(call(), ARGS, errs=None).reasons[-1]


def test_where_it_is_not_known_whether_conditions_erred_a_permit_is_not_certain_but_an_unconditional_rule_is() -> None:
    assert effects([rule("a", "permit", "tool == 'pay'")], {}, None) == {"allow", "deny"}
    assert effects([rule("a", "forbid", "tool == 'other'"), rule("p", "permit")], {}, None) == {"deny", "allow"}
    assert effects([rule("a", "forbid"), rule("b", "permit", "tool == 'pay'")], {}, None) == {"deny"}
    assert effects([rule("a", "permit")], {}, None) == {"allow"}


def test_where_every_condition_erred_forbids_and_holds_count_and_permits_do_not() -> None:
    assert effects([rule("a", "forbid", "tool == 'other'"), rule("b", "permit")], ARGS, True) == {"deny"}
    assert effects([rule("a", "hold", "tool == 'other'"), rule("b", "permit")], ARGS, True) == {"hold"}
    assert effects([rule("a", "permit", "args.amount > 0")], ARGS, True) == {"deny"}


def test_an_error_of_its_own_is_no_guess() -> None:
    assert effects([rule("a", "forbid", "1 / 0 == 1"), rule("b", "permit", "args.amount > 0")], ARGS) == {"deny"}
    assert effects([rule("a", "permit", "1 / 0 == 1"), rule("b", "permit", "args.amount > 0")], ARGS) == {
        "deny",
        "allow",
    }


def test_two_routes_that_may_meet_may_deny() -> None:
    routes = [
        rule("a", "permit", "tool == 'pay'", obligations=[{"route": {"model": "m1"}}]),
        rule("b", "permit", "args.amount < 5", obligations=[{"route": {"model": "m2"}}]),
    ]
    assert effects(routes, ARGS) == {"allow", "deny"}
    assert effects([routes[0], {**routes[1], "when": "tool == 'other' || args.amount < 5"}], {}) == {"allow"}
    sure = [routes[0], {**routes[1], "when": "tool != ''"}, rule("c", "permit", "args.amount < 5")]
    assert effects(sure, ARGS) == {"deny"}


def test_a_name_that_is_refused_is_denied_whatever_is_missing() -> None:
    decider = PartialDecider(bundle([rule("a", "permit", "args.amount < 5", tool="*")]))
    assert decider.decide(call("p\u0430y"), ARGS, errs=None).effects == {"deny"}


def test_words_in_comments_and_texts_count_as_read_never_the_other_way_round() -> None:
    for written in (
        "args\n.amount < 5",
        "{'a': args}.a.amount < 5",
        "[1].exists(x, args.amount == x)",
        "tool == 'args'",
    ):
        assert effects([rule("a", "permit", written)], ARGS) == {"allow", "deny"}
    counter = {"missing": "counter.n is not known"}
    head: dict[str, Any] = {"counters": {"n": {"count": True}}}
    assert effects([rule("a", "permit", "counter .\n n < 5")], {"n": counter["missing"]}, **head) == {"allow", "deny"}
