"""What a file about tools may say, and that faults are named."""

from pathlib import Path

import pytest

from backstay.errors import UsageError
from backstay.guard import load_tool_roles
from backstay.guard.tool_roles import Tool, parse_tool_roles

RECIPES = Path(__file__).parents[3] / "recipes" / "policies"
BENCHMARKS = Path(__file__).parents[3] / "benchmarks" / "guard"


def parse(tool: str) -> Tool:
    return parse_tool_roles(f"tool_roles: 1\ntools:\n  t: {tool}\n", "t.yaml")["t"]


def test_the_longest_declared_path_gives_the_role_and_what_is_not_declared_is_a_destination() -> None:
    arguments = "{to: destination, body: payload, items: payload, items.id: selector}"
    tool = parse_tool_roles(
        f"tool_roles: 1\ntools: {{t: {{side_effect: sends, verbs: [send], arguments: {arguments}}}}}", "t"
    )["t"]
    assert [tool.role(names) for names in (("body",), ("items",), ("items", "id"), ("items", "id", "x"))] == [
        "payload", "payload", "selector", "selector",
    ]  # fmt: skip
    assert tool.role(("items", "name")) == "payload"
    assert tool.role(("unknown",)) == "destination"


def test_a_name_with_a_dot_does_not_pass_for_an_argument_within_another() -> None:
    tool = parse_tool_roles(
        "tool_roles: 1\ntools: {t: {side_effect: writes, verbs: any, arguments: {a.note: text, a: text}}}", "t"
    )["t"]
    assert tool.role(("a", "note")) == "text"
    assert tool.role(("a.note",)) == tool.role(("a", "x.y")) == "destination"


@pytest.mark.parametrize(
    ("tool", "fault"),
    [
        ("{side_effect: shouts}", "tools.t.side_effect"),
        ("{side_effect: none, colour: red}", "colour: unknown key"),
        ("{side_effect: writes}", "verbs"),
        ("{side_effect: pays, verbs: [pay], arguments: {to: payload}}", "needs an argument that is a destination"),
        ("{side_effect: destroys, verbs: [delete]}", "destination or selector"),
        ("{side_effect: credentials, verbs: [password], arguments: {p: text}}", "credential"),
        ("{side_effect: writes, verbs: [write, '*']}", "verbs"),
        ("{side_effect: writes, verbs: any, arguments: {to: adress}}", "arguments.to"),
        ("{side_effect: writes, verbs: any, arguments: {'a b': text}}", "arguments"),
        ("{side_effect: none, output: sometimes}", "output"),
        ("{side_effect: none, output: {format: text, trusted: [id]}}", "has no fields"),
        ("{side_effect: none, output: {lone: [phone]}}", "lone"),
        ("{side_effect: none, output: {if_named: {by: []}}}", "if_named.by"),
        ("{}", "side_effect: Field required"),
    ],
)
def test_a_fault_is_named(tool: str, fault: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(tool)
    assert "t.yaml" in error.value.message
    assert fault in error.value.message


@pytest.mark.parametrize(
    "text", ["", "tools: {}", "tool_roles: 2\ntools: {}", "tool_roles: 1\ntools: {'a b': {}}", "[]"]
)
def test_a_file_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tool_roles(text, "t.yaml")


def test_of_a_folder_the_files_about_tools_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("tool_roles: 1\ntools: {x: {side_effect: none}}")
    (tmp_path / "b.yaml").write_text("tool_roles: 1\ntools: {y: {side_effect: none}}")
    (tmp_path / "p.yaml").write_text("policy: 1\nrules: []")
    assert sorted(load_tool_roles([tmp_path])) == ["x", "y"]
    (tmp_path / "b.yaml").write_text("tool_roles: 1\ntools: {x: {side_effect: writes, verbs: any}}")
    with pytest.raises(UsageError, match="tool x is declared otherwise"):
        load_tool_roles([tmp_path])


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="t.yaml"):
        load_tool_roles([path])


def test_the_files_that_come_with_it_are_read() -> None:
    assert load_tool_roles([RECIPES])["pay"].side_effect == "pays"
    assert load_tool_roles(
        [BENCHMARKS / "agentdojo_workspace_banking.yaml", BENCHMARKS / "agentdojo_slack_travel.yaml"]
    )
    assert load_tool_roles([BENCHMARKS / "agentdojo_slack_travel_revised.yaml"])


@pytest.mark.parametrize("name", ["to", "_to2", "items.id", "नाम", "größe.höhe", ".".join("a" * 16)])
def test_arguments_are_named_in_any_script(name: str) -> None:
    tool = parse(f"{{side_effect: writes, verbs: any, arguments: {{'{name}': text}}}}")
    assert tool.role(tuple(name.split("."))) == "text"


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a..b", ".a", "a.", "a.1", "a\u200b", ".".join("a" * 17)])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no name of an argument"):
        parse(f'{{side_effect: writes, verbs: any, arguments: {{"{name}": text}}}}')


@pytest.mark.parametrize("verb", ["book", "book*", "2nd try", "a b c d e*", "भेजो"])
def test_verbs_are_up_to_five_words(verb: str) -> None:
    assert parse(f"{{side_effect: writes, verbs: ['{verb}']}}").verbs == (verb,)


@pytest.mark.parametrize("verb", ["", "*", "a  b", "a *", "bo*ok", "book**", " book", "a b c d e f", "a" * 61])
def test_what_is_no_verb_is_refused(verb: str) -> None:
    with pytest.raises(UsageError, match="verbs"):
        parse(f"{{side_effect: writes, verbs: ['{verb}']}}")
