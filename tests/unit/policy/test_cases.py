import json
import subprocess
import sys
from pathlib import Path

from policy_texts import as_yaml, bundle, rule

from backstay.policy import PolicyBundle, load_policies, parse_policy, run_cases

RECIPE = Path(__file__).parents[3] / "recipes" / "policies" / "tools.yaml"
WRONG = {"tests": [{"name": "nine", "request": {"args": {"amount": 9}}, "expect": "allow"}]}


def backstay(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backstay.cli", "guard", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_recipe_passes_its_own_tests() -> None:
    results = run_cases(load_policies([RECIPE]))
    assert len(results) >= 14
    assert [result for result in results if not result.passed] == []


def test_every_way_to_differ_is_told() -> None:
    case = {
        "request": {"args": {"amount": 9}, "counters": {"nope": 1}},
        "expect": "hold",
        "rules": ["b"],
        "obligations": [{"mask": {"args": ["x"]}}],
    }
    (result,) = run_cases(bundle([rule("a", "permit", obligations=[{"mask": {"args": ["y"]}}], tests=[case])]))
    assert result.differences == (
        "unknown counters in the request: nope",
        "effect: expected hold, got allow by a (because of a)",
        "rules: expected b, got a",
        "missing obligation: mask args=['x']",
        "unexpected obligation: mask args=['y']",
    )


def test_the_command_passes_and_fails_readably(tmp_path: Path) -> None:
    done = backstay("test", str(RECIPE))
    assert (done.returncode, done.stderr) == (0, "")
    assert "tests of 7 rules passed; policy " in done.stdout
    path = tmp_path / "wrong.yaml"
    path.write_text(as_yaml([rule("a", "forbid", "args.amount > 5", **WRONG)]), encoding="utf-8")
    done = backstay("test", str(path))
    assert done.returncode == 1
    assert "FAILED a: nine\n  effect: expected allow, got deny by a (because of a)\n" in done.stdout
    assert "1 of 1 tests failed" in done.stderr
    done = backstay("test", "--json", str(path))
    assert done.returncode == 1
    assert json.loads(done.stdout)["failed"] == 1


def test_lint_fails_on_errors_and_on_warnings_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "open.yaml"
    path.write_text(as_yaml([rule("a", "permit")]), encoding="utf-8")
    done = backstay("lint", str(path))
    assert done.returncode == 1
    assert "error: a: permits every tool call" in done.stdout
    path.write_text(as_yaml([rule("a", "forbid", "args.amount > 5")]), encoding="utf-8")
    assert backstay("lint", str(path)).returncode == 0
    assert backstay("lint", "--strict", "--json", str(path)).returncode == 1


def test_a_broken_file_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("policy: 1\nrules: [{id: a}]\n", encoding="utf-8")
    done = backstay("test", str(path))
    assert done.returncode == 2
    assert "rule a, effect: Field required" in done.stderr


def test_the_example_of_the_page_passes_its_own_tests() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy" / "rules.md").read_text(encoding="utf-8")
    example = parse_policy(page.split("```yaml\n")[1].split("```")[0], "the example")
    results = run_cases(PolicyBundle.compile([("the example", example)]))
    assert [result.differences for result in results] == [(), (), ()]


def test_the_analysis_proves_or_shows_a_request(tmp_path: Path) -> None:
    path = tmp_path / "taint.yaml"
    rules = [rule("open", "permit", "args.amount < 5"), rule("taint", "forbid", "'tool' in provenance.to")]
    path.write_text(as_yaml(rules), encoding="utf-8")
    assert backstay("analyze", str(path), "--tool", "pay", "--arg", "to").returncode == 0
    done = backstay("analyze", str(path), "--tool", "pay", "--arg", "amount", "--json")
    assert done.returncode == 1
    (answer,) = json.loads(done.stdout)["answers"]
    assert (answer["verdict"], answer["example"]["provenance"]["amount"]) == ("can", ["tool"])
    assert "does taint forbid, with a true condition, what open permits" in backstay("analyze", str(path)).stdout


def test_a_case_says_what_is_known_of_the_call() -> None:
    tests = [
        {"request": {"args": {"to": "x"}}, "expect": "allow"},
        {"request": {"call": {"destination": ["unvouched"]}}, "expect": "deny"},
        {"request": {"call": {"side_effect": "undeclared"}}, "expect": "deny"},
        {"request": {"call": None}, "expect": "deny"},
    ]
    rules = [
        rule("open", "permit", "call.side_effect == 'none'", tests=tests),
        rule("taint", "forbid", "'unvouched' in call.destination"),
    ]
    assert [result.passed for result in run_cases(bundle(rules))] == [True] * 4
