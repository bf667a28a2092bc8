import pytest

from backstay.errors import UsageError
from backstay.guard import Redaction, redact
from backstay.scan import default_pack, pack_kinds, secret_kinds


def test_the_default_pack_holds_secrets_personal_data_and_images() -> None:
    held = {rule.kind for rule in default_pack().rules}
    assert {"jwt", "email", "image_url", "reference_url"} <= held and "html_resource" not in held
    assert {rule.kind for rule in default_pack({"email", "html_resource"}).rules} == {"email", "html_resource"}
    assert default_pack(allowed_hosts=["a.org"]) is default_pack(allowed_hosts=("a.org",))
    with pytest.raises(UsageError, match="no rule finds"):
        default_pack({"e-mail"})
    with pytest.raises(UsageError, match="a list"):
        default_pack(allowed_hosts="a.org")


def test_all_kinds_are_told() -> None:
    assert set(secret_kinds()) | {"iban", "image_url", "html_resource"} <= set(pack_kinds())


def test_it_redacts_all_of_them_in_one_text() -> None:
    text = "key AKIA" + "Q7" * 8 + ", mail jane@mail.org, ![x](https://evil.com/a) and ![y](https://ok.org/b)."
    out, _ = redact(text, Redaction(default_pack(allowed_hosts=["ok.org"]), mask="<{kind}>"))
    assert out == "key <aws_access_key_id>, mail <email>, ![x<image_url> and ![y](https://ok.org/b)."
