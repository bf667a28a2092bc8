"""Somebody who may write rows, or the export, wants replay to break, to guess, or to act on the terminal."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_texts import as_yaml, bundle, call, rule
from recorded_traffic import ledger, payload

from backstay.cli.main import cli
from backstay.policy.recorded import read_row
from backstay.policy.replay import Replay
from backstay.policy.shadow import ShadowRecord
from backstay.policy.tally import MAX_NAMES

pytestmark = pytest.mark.hostile
COUNTERS = {"n": {"count": True}, "paid": {"sum": "args.amount"}}
RULES = [
    rule("small", "permit", "args.amount <= 5 && counter.n < 3 && counter.paid < 9.0 && text == ''"),
    rule("taint", when="'tool' in provenance.amount || findings.secret > 0"),
    rule("trial", when="args.amount > 2", mode="shadow"),
]
POLICY, OTHER = bundle(RULES, counters=COUNTERS), bundle(RULES[:1], counters=COUNTERS)
ROW = json.loads(payload(POLICY, call(args={"amount": 1, "x": [1.0]}, counters={"n": 1, "paid": 2.0})))

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308]),
    st.floats(),
    st.text(max_size=5),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
counters = st.dictionaries(st.sampled_from(["n", "paid", "other"]), leaves)
contents = st.fixed_dictionaries(
    {
        "exact": st.just(value=True),
        "text": st.text(max_size=3),
        "args": st.dictionaries(st.sampled_from(["amount", "x"]), anything),
    },
    optional={
        "attributes": anything,
        "doubles": st.lists(st.lists(st.one_of(st.integers(-3, 3), st.sampled_from(["amount", "x"])), max_size=3)),
    },
)


@settings(max_examples=250, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(ROW)), anything, max_size=2),
    st.one_of(st.none(), counters),
    st.one_of(st.none(), contents),
)
def test_no_row_breaks_a_replay(change: dict[str, Any], counted: Any, content: Any) -> None:
    row = ROW | change
    row |= {} if counted is None else {"counters": counted}
    row |= {} if content is None else {"content": content}
    compared = Replay(OTHER, POLICY)
    compared.add(json.dumps(row), "it")
    assert compared.same + compared.changed + compared.unknown + compared.malformed.total == 1
    ShadowRecord().add(read_row(json.dumps(row)))


@pytest.mark.parametrize(
    "text", ["", "[", "null", "[]", '"x"', "{" * 5000, '{"a":' * 5000, "\ud800", '{"id":"\\ud800"}']
)
def test_what_is_no_row_is_counted_as_malformed(text: str) -> None:
    compared = Replay(POLICY)
    assert compared.add(text, "entry 1") is None
    assert compared.malformed.total == 1


def test_a_million_names_do_not_fill_the_memory() -> None:
    compared, record = Replay(bundle([rule("never")])), ShadowRecord()
    for n in range(MAX_NAMES + 50):
        row = {**ROW, "rules": [f"r{n}"], "effect": "allow", "shadow": [[f"s{n}", "forbid", True, ""]]}
        record.add(compared.add(json.dumps(row), "it"))
    assert len(compared.changes["allow", "deny"].was.ranked()) == MAX_NAMES + 1
    assert len(record.asked) == MAX_NAMES + 1


def test_names_of_rows_do_not_act_on_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    row = {**ROW, "id": f"id{evil}", "rules": [f"rule{evil}"], "shadow": [[f"shadow{evil}", "forbid", True, ""]]}
    path, candidate = ledger(tmp_path / "guard.db", [json.dumps(row)]), tmp_path / "p.yaml"
    candidate.write_text(as_yaml([rule("never")]))
    for arguments in (["replay", "--policy", str(candidate), str(path)], ["shadow", str(path)]):
        output = CliRunner().invoke(cli, ["guard", *arguments]).output
        assert "owned" in output
        assert all(line.isprintable() for line in output.splitlines())
