from account_world import AccountWorld

from backstay.web.accounts import audit_log


def note(world: AccountWorld, kind: str, **payload: object) -> None:
    world.do(lambda unit: unit.note(kind, payload))


def numbers(world: AccountWorld, **given: object) -> tuple[list[object], int | None]:
    found, more = world.read(lambda c: audit_log.acts(c, **given))  # type: ignore[arg-type]  # passed on
    return [act.payload["n"] for act in found], more


def test_pages_of_the_newest_first_and_only_what_somebody_did(world: AccountWorld) -> None:
    for n in range(5):
        note(world, "console.account", by="ann", n=n)
        note(world, "guard.decision", by="ann", n=100)
        note(world, "console.assignment", n=200)
    first, more = numbers(world, most=2)
    assert first == [4, 3] and more is not None
    second, more = numbers(world, most=2, after=more)
    third, end = numbers(world, most=2, after=more)
    assert (second, third, end) == ([2, 1], [0], None)


def test_by_kind_and_by_whom(world: AccountWorld) -> None:
    note(world, "console.account", by="ann", n=1)
    note(world, "console.account", by="bob", n=2)
    note(world, "console.export", by="ann", n=3)
    assert numbers(world, kind="console.account")[0] == [2, 1]
    assert numbers(world, by="ann")[0] == [3, 1]
    assert numbers(world, by="ann", kind="console.account")[0] == [1]
    assert numbers(world, kind="guard.decision")[0] == []


def test_a_name_is_no_pattern_and_no_quotation_counts(world: AccountWorld) -> None:
    note(world, "console.account", by="ann_1", n=1, said='"by":"bob"')
    note(world, "console.account", by="annx1", n=2)
    assert numbers(world, by="ann_1")[0] == [1]
    assert numbers(world, by="ann%")[0] == []
    assert numbers(world, by="bob")[0] == []
