"""The rules that a guard looks for unless told otherwise: secrets, personal data, URLs that load by themselves."""

from collections.abc import Collection
from functools import cache

from backstay.errors import UsageError
from backstay.scan.identifiers import identifier_rules
from backstay.scan.image_latch import LATCH_KINDS, latch_rules
from backstay.scan.rule import Rule
from backstay.scan.rule_pack import RulePack
from backstay.scan.secrets import secret_rules

LATCHED = ("image_url", "reference_url")
"""Kinds of the latch that are on by default; `html_resource` would also take scripts out of code that is shown."""


def pack_kinds() -> tuple[str, ...]:
    """All kinds that `default_pack` can be asked for, sorted."""
    rules = (*secret_rules(), *identifier_rules())
    return tuple(sorted({*LATCH_KINDS, *(rule.kind for rule in rules)}))


def default_pack(kinds: Collection[str] | None = None, *, allowed_hosts: Collection[str] = ()) -> RulePack:
    """Rules compiled together: all of them, or those of some kinds.

    Images may come from `allowed_hosts` (`img.example.com`, `.example.com` for all under it). Raises UsageError for a
    kind that no rule finds.
    """
    wanted = None if kinds is None else frozenset(kinds)
    return _pack(wanted, frozenset(_listed(allowed_hosts)))


def _listed(hosts: Collection[str]) -> Collection[str]:
    if isinstance(hosts, str):
        raise UsageError(f"allowed hosts are a list, not the text {hosts!r}", cure="write ['img.example.com']")
    return hosts


@cache
def _pack(kinds: frozenset[str] | None, hosts: frozenset[str]) -> RulePack:
    unknown = sorted((kinds or frozenset()) - set(pack_kinds()))
    if unknown:
        raise UsageError(f"no rule finds the kinds {unknown}", cure=f"known are {', '.join(pack_kinds())}")
    rules: tuple[Rule, ...] = (*secret_rules(), *identifier_rules())
    latched = LATCHED if kinds is None else tuple(kind for kind in LATCH_KINDS if kind in kinds)
    held = rules if kinds is None else tuple(rule for rule in rules if rule.kind in kinds)
    return RulePack((*held, *latch_rules(sorted(hosts), latched)))
