"""A shell script as it was read: its commands in order, its pipelines and functions."""

from dataclasses import dataclass, field
from functools import cached_property

from backstay.scan.danger import names
from backstay.scan.shell_prefixes import UNKNOWN, Run, Word, unwrap

STANDING = {"HOME": "~", "PWD": ".", "OLDPWD": "..", "USER": UNKNOWN, "IFS": " ", "SHELL": "/bin/sh"}
"""What some variables hold that no script has to set."""

TELLING = ("LD_PRELOAD", "PROMPT_COMMAND", "BASH_ENV", "LD_AUDIT")
"""Variables that make other programs run something."""

_ON_FILES = names(
    "rm mv cp cat tee chmod chown shred truncate find tar ln less more head tail base64 xxd install rsync strings"
)
"""Commands whose arguments are files: after `cd /etc`, `ssl` is `/etc/ssl`."""


@dataclass(frozen=True)
class Command:
    """One simple command; `redirects` are operators with their targets, `given` a here-document or here-string."""

    words: tuple[Word, ...]
    span: tuple[int, int]
    redirects: tuple[tuple[str, Word], ...] = ()
    given: str | None = None
    folder: str = ""

    @cached_property
    def run(self) -> Run:
        """What it runs in the end, without `sudo`, `env` and the like; its files as seen from outside of its folder."""
        run = unwrap(self.words)
        if not self.folder or run.name not in _ON_FILES:
            return run
        return Run(run.prefixes, run.name, (run.words[0], *(self._placed(word) for word in run.words[1:])))

    def _placed(self, word: Word) -> Word:
        inside = word.text and word.text[0] not in "-/~" and UNKNOWN not in word.text and "=" not in word.text
        return word._replace(text=f"{self.folder}/{word.text}") if inside else word


@dataclass
class Script:
    """What a script runs, in order; `pipelines` hold the commands of each stage, `broken` says that not all parsed."""

    commands: list[Command] = field(default_factory=list)
    pipelines: list[list[list[Command]]] = field(default_factory=list)
    functions: dict[str, list[Command]] = field(default_factory=dict)
    broken: str = ""
