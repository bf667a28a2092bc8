"""Commands that run another command (`sudo`, `env`, `xargs`, ...): what is run in the end, and by which of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from backstay.scan.danger import names

if TYPE_CHECKING:
    from backstay.scan.shell_script import Command

UNKNOWN = "\x00"
"""Stands in a word for what only the run time knows."""

_WITH_VALUE = {
    "sudo": "ughpCrtUDR",
    "doas": "uC",
    "env": "uC",
    "nice": "n",
    "ionice": "cnp",
    "timeout": "sk",
    "stdbuf": "ioe",
    "xargs": "InPdLsaE",
    "strace": "eopPsS",
    "exec": "a",
    "time": "fo",
    "watch": "nd",
    "flock": "wE",
    "parallel": "jI",
    "runuser": "ug",
    "unshare": "",
    "nsenter": "tSG",
}
_POSITIONS = {"timeout": 1, "chroot": 1, "flock": 1}
_PLAIN = names(
    "command builtin nohup setsid busybox unbuffer chroot time catchsegv firejail coproc systemd-run dbus-run-session"
)
SHELLS = names("sh bash zsh dash ksh ash fish csh tcsh rbash")
INTERPRETERS = SHELLS | names("python python2 python3 perl ruby node php lua deno osascript pwsh")
_MAX_PREFIXES = 12


class Word(NamedTuple):
    """A word after expansion. `tricks`: ways of writing that hide what it is; `inner`: commands whose output it is."""

    text: str
    tricks: frozenset[str] = frozenset()
    inner: "tuple[Command, ...]" = ()


@dataclass(frozen=True)
class Run:
    """A command without its prefixes: their names, its own name without folders, its words."""

    prefixes: tuple[str, ...]
    name: str
    words: tuple[Word, ...]

    @cached_property
    def args(self) -> list[str]:
        """The texts of its arguments."""
        return [word.text for word in self.words[1:]]

    def option(self, short: str, *long: str) -> bool:
        """Whether an option is given: one of the letters, alone or with others, or one of the long names."""
        flags = [arg for arg in self.args if arg.startswith("-") and arg != "-"]
        return any(
            arg.partition("=")[0] in long or (not arg.startswith("--") and any(letter in arg[1:] for letter in short))
            for arg in flags
        )

    def after(self, *options: str) -> list[str]:
        """The arguments that follow one of these options, or are joined to it by `=`."""
        joined = [arg.partition("=")[2] for arg in self.args if arg.partition("=")[0] in options and "=" in arg]
        pairs = zip(self.args, self.args[1:], strict=False)
        return joined + [value for option, value in pairs if option in options]

    @cached_property
    def targets(self) -> list[str]:
        """The arguments that are no options."""
        return [arg for arg in self.args if not arg.startswith("-") or arg == "-"]


def base_name(text: str) -> str:
    """The name of a program without its folder; versions of Python and the like without their number."""
    name = text.rpartition("/")[2]
    bare = name.rstrip("0123456789.")
    return bare if bare in INTERPRETERS else name


def unwrap(words: tuple[Word, ...]) -> Run:
    """What a command runs after all prefixes; `xargs` adds a word that is not known."""
    prefixes: list[str] = []
    rest = list(words)
    while rest and len(prefixes) < _MAX_PREFIXES:
        name = base_name(rest[0].text)
        if name not in _WITH_VALUE and name not in _PLAIN:
            break
        inner = _behind(name, rest[1:])
        if not inner:
            break
        prefixes.append(name)
        rest = [*inner, Word(UNKNOWN)] if name == "xargs" else inner
    return Run(tuple(prefixes), base_name(rest[0].text) if rest else "", tuple(rest))


def _behind(name: str, words: list[Word]) -> list[Word]:
    """The words of the command that a prefix runs; none where it runs none."""
    place, skip = 0, _POSITIONS.get(name, 0)
    values = _WITH_VALUE.get(name, "")
    while place < len(words):
        text = words[place].text
        if name == "command" and text in ("-v", "-V"):
            return []
        if name == "env" and text in ("-S", "--split-string"):
            return [Word(part) for word in words[place + 1 :] for part in word.text.split()]
        if text == "--":
            place += 1
            break
        if text.startswith("-") and len(text) > 1:
            place += 2 if len(text) == 2 and text[1] in values else 1
        elif name in ("env", "sudo", "doas") and "=" in text and not text.startswith("="):
            place += 1
        elif skip:
            skip, place = skip - 1, place + 1
        else:
            break
    return words[place:]
