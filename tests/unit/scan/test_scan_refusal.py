from backstay.scan import refuses, scan_refusal


def test_a_refusal_is_a_finding() -> None:
    assert [f.kind for f in scan_refusal("I'm sorry, but I can't help with that.")] == ["refusal"]
    assert refuses("I'm sorry, but I can't help with that.")
    assert scan_refusal("Sure, here is a recipe.") == ()


def test_a_refusal_that_then_complies_does_not_refuse() -> None:
    text = "I can't help with that. But here's how to do it. Step 1: find a ladder."
    assert [f.kind for f in scan_refusal(text)] == ["refusal_then_compliance"]
    assert not refuses(text)
