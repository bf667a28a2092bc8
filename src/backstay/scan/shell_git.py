"""What git commands throw away: uncommitted work, branches, stashes, history, what others pushed."""

from collections.abc import Iterator

from backstay.scan.rule import Severity
from backstay.scan.shell_prefixes import Run

Sign = tuple[str, Severity, str]
_DESTROY = "shell_destructive"
_UNCOMMITTED: Sign = (_DESTROY, "medium", "throws uncommitted work away")
_REF: Sign = (_DESTROY, "medium", "removes or overwrites a branch or stash")
_WITH_VALUE = ("-C", "-c", "--git-dir", "--work-tree")


def git_signs(run: Run) -> Iterator[Sign]:
    """What a git command does that cannot be taken back, and what it makes git run."""
    values = set(run.after(*_WITH_VALUE))
    words = [arg for arg in run.targets if arg not in values]
    verb = words[0] if words else ""
    if verb == "push":
        if run.option("f", "--force", "--mirror", "--delete") or any(word.startswith("+") for word in words):
            yield _DESTROY, "high", "rewrites or removes a remote branch"
    elif _uncommitted(verb, run):
        yield _UNCOMMITTED
    elif verb in ("filter-branch", "filter-repo") or (verb == "reflog" and "expire" in words):
        yield _DESTROY, "high", "rewrites history"
    elif verb in ("branch", "update-ref") or words[:2] in (["stash", "drop"], ["stash", "clear"]):
        if verb == "stash" or {"-D", "-M", "-C"} & set(run.args[1:]) or (verb == "update-ref" and "-d" in run.args):
            yield _REF
        elif verb == "branch" and run.option("d", "--delete") and "--merged" not in run.args:
            yield _DESTROY, "low", "removes a branch that is merged"
    settings = [*(words if verb == "config" else ()), *run.after("-c")]
    if any("hookspath" in word.lower() or word.lower().startswith("alias.") for word in settings):
        yield "shell_persistence", "medium", "changes what git runs"


def _uncommitted(verb: str, run: Run) -> bool:
    return (
        (verb in ("clean", "checkout") and run.option("f", "--force"))
        or (verb == "reset" and "--hard" in run.args)
        or (verb == "switch" and run.option("f", "--force", "--discard-changes"))
        or (verb == "read-tree" and "--reset" in run.args)
        or (verb == "checkout" and run.args[1:] in (["."], ["--", "."]))
        or (verb == "restore" and run.targets[1:] == ["."])
    )
