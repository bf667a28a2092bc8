"""Danger in shell commands, read by tree-sitter's grammar of Bash: what is removed, downloaded, opened, kept, hidden.

docs/scan/danger.md describes kinds and limits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from backstay.scan.danger import Clock, Danger, DangerScanner, Nested, names
from backstay.scan.engine import compile_re2
from backstay.scan.python_code import read_python
from backstay.scan.shell_commands import MAX_CHARACTERS, read_script
from backstay.scan.shell_flows import (
    DOWNLOADERS,
    fetched_and_run,
    fifo_reverse,
    forks_forever,
    hides_its_name,
    output_signs,
    piped_texts,
    pipeline_signs,
    reads_standard_input,
    script_text,
)
from backstay.scan.shell_git import Sign
from backstay.scan.shell_prefixes import INTERPRETERS, SHELLS, UNKNOWN, Run, Word
from backstay.scan.shell_rules import RULES, found_command, signs_of, written_to
from backstay.scan.shell_script import Command
from backstay.scan.shell_targets import is_secret
from backstay.scan.snippets import Snippet
from backstay.scan.sql_danger import sql_dangers

SCANNER = "shell_danger"
MAX_BLOCKS = 10
"""Blocks of lines that may be commands, in a text of which nobody says that it is shell."""

_SIGNAL = (
    rb"\brm\s+-|\|\s*(?:\w+\s+)?\S*\b(?:sh|bash|zsh|python3?|perl|nc)\b|<\(|/dev/|mkfs|\bdd\s|\bcurl\s|\bwget\s|\bnc\s|\bncat\s|crontab"
    rb"|authorized_keys|\.(?:bash|zsh|pro)|chmod\s|chown\s|sudo\s|/etc/|\.ssh|\.aws|base64|eval\s|\$'|\$\{?IFS|\w''\w|\w\"\"\w"
    rb"|git\s+push|terraform|kubectl|:\(\)|-delete|-exec|mkfifo|shred|wipefs|fdisk|systemctl|user(?:add|mod|del)|socat|\.env\b"
    rb"|printenv|passwd|\baws\s|gcloud|helm|dropdb|flushall|\bsh\s+-c|bash\s+-c|setcap|launchctl|truncate\s"
)
_LEADS = (
    RULES.keys()
    | INTERPRETERS
    | DOWNLOADERS
    | names(
        "sudo doas env echo printf cat tee eval exec export source . cd xargs timeout nohup nice command tar scp rsync "
        "ssh mkfifo "
        "sed awk trap alias for while if printenv base64 psql mysql sqlite3 bash set : > { ( ! time mkdir touch"
    )
)
_CUT = rb"\S\\\n\S"
"""The end of a line within a word: the shell joins what stands around it, the grammar does not."""

_TELLING = frozenset(RULES) | SHELLS
_SQL_CLIENTS = {"psql": ("-c", "--command"), "mysql": ("-e", "--execute"), "mariadb": ("-e", "--execute")}


def shell_dangers(text: str, *, nested: Nested | None = None) -> tuple[Danger, ...]:
    """What is dangerous in a script; what does not parse within bounds is a danger too, of kind `shell_unparsed`."""
    script, whole = read_script(text), (0, len(text))
    inside = Nested(text) if nested is None else nested
    clock = Clock(10 + 4 * len(text) / 1000)
    found = {_unparsed(script.broken, whole)} if script.broken else set()
    for command in script.commands:
        if clock.spent:
            found.add(_unparsed("no time left", whole))
            break
        found.update(_of_command(command, inside))
    for stages in script.pipelines:
        found.update(Danger(*sign, command.span) for command, sign in pipeline_signs(stages))
        for command, given, run in piped_texts(stages):
            found.update(_given(run, given, command.span, inside))
    found.update(Danger(*sign, command.span) for command, sign in fetched_and_run(script))
    if compile_re2(_CUT).search(text.encode("ascii", "replace")) is not None:
        found.update(_inside(text.replace("\\\n", ""), whole, inside))
    if fifo_reverse(script):
        found.add(Danger("shell_reverse", "critical", "joins a shell with the network by a named pipe", whole))
    if forks_forever(script):
        found.add(Danger("shell_destructive", "critical", "starts itself without end", whole))
    return tuple(sorted(found))


def _unparsed(said: str, span: tuple[int, int]) -> Danger:
    return Danger("shell_unparsed", "medium", said, span)


def _of_command(command: Command, inside: Nested) -> Iterator[Danger]:
    run = command.run
    for sign in (*_signs(command, run), *hides_its_name(command, run, known=run.name in _TELLING)):
        yield Danger(*sign, command.span)
    text = script_text(run)
    if text is not None:
        yield from _inside(text, command.span, inside)
    if command.given is not None:
        yield from _given(run, command.given, command.span, inside)
    if run.name == "find":
        words = tuple(Word(word) for word in found_command(run))
        deeper = inside.takes(" ".join(word.text for word in words)) if words else None
        if deeper is not None:
            yield from _of_command(Command(words, command.span), deeper)
        elif words:
            yield _unparsed("commands in commands, deeper than is read", command.span)
    yield from _foreign(run, command.span, inside)


def _signs(command: Command, run: Run) -> Iterator[Sign]:
    yield from signs_of(run)
    yield from output_signs(command, run)
    for sign, word in command.redirects:
        if ">" in sign or "/dev/tcp/" in word.text or "/dev/udp/" in word.text:
            yield from written_to([word.text], appended=sign == ">>")
        if "<" in sign and is_secret(word.text):
            yield "shell_credentials", "high", "reads keys, passwords or tokens"


def _inside(text: str, span: tuple[int, int], inside: Nested) -> Iterator[Danger]:
    deeper = inside.takes(text)
    if deeper is None:
        yield _unparsed("scripts in scripts, more than is read", span)
        return
    known = text.replace(UNKNOWN, "$unknown")
    yield from (danger._replace(span=span) for danger in shell_dangers(known, nested=deeper))


def _sql(text: str, span: tuple[int, int], inside: Nested, dialect: str | None = None) -> Iterator[Danger]:
    if inside.takes(text) is None:
        yield _unparsed("statements in scripts, more than is read", span)
        return
    yield from (danger._replace(span=span) for danger in sql_dangers(text, dialect=dialect))


def _python(text: str, span: tuple[int, int], inside: Nested) -> Iterator[Danger]:
    deeper = inside.takes(text)
    if deeper is None:
        yield _unparsed("scripts in scripts, more than is read", span)
        return
    read = read_python(text.replace(UNKNOWN, "unknown"))
    for danger in read.dangers:
        kind = {"code_download_run": "shell_download_run", "code_reverse": "shell_reverse"}.get(
            danger.kind, danger.kind
        )
        yield danger._replace(kind=kind, span=span)
    for language, inner, _ in read.commands:
        yield from (_inside if language == "shell" else _sql)(inner, span, deeper)


def _given(run: Run, text: str, span: tuple[int, int], inside: Nested) -> Iterator[Danger]:
    """A text that is handed to an interpreter's standard input."""
    if run.name in _SQL_CLIENTS or run.name == "sqlite3":
        yield from _sql(text, span, inside)
    elif reads_standard_input(run) and run.name in SHELLS:
        yield from _inside(text, span, inside)
    elif reads_standard_input(run) and run.name == "python":
        yield from _python(text, span, inside)


def _foreign(run: Run, span: tuple[int, int], inside: Nested) -> Iterator[Danger]:
    """Code of other languages in the arguments."""
    if run.name == "python":
        for text in run.after("-c"):
            yield from _python(text, span, inside)
    elif run.name in ("perl", "ruby", "node", "php", "lua"):
        yield from (
            Danger(*sign, span) for text in run.after("-e", "-r", "--eval", "-E", "-p") for sign in _script(text)
        )
    elif run.name in ("awk", "gawk", "mawk", "vim", "vi", "ex", "ed", "tar"):
        if any(sign in text for text in run.args for sign in ("system(", ":!", "| getline", "checkpoint-action=exec")):
            yield Danger("shell_obfuscated", "medium", "runs commands from another program", span)
    elif run.name in _SQL_CLIENTS:
        for text in run.after(*_SQL_CLIENTS[run.name]):
            yield from _sql(text, span, inside)
    elif run.name == "sqlite3" and len(run.targets) > 1:
        yield from _sql(run.targets[1], span, inside, "sqlite")


def _script(text: str) -> Iterator[Sign]:
    """What a line of Perl, Ruby, JavaScript, PHP or Lua seems to do; these are not parsed."""
    if "socket" in text.lower() and any(word in text for word in ("exec", "sh", "spawn")):
        yield "shell_reverse", "critical", "gives a shell to another machine"
    elif any(word in text for word in ("system(", "exec(", "eval(", "eval ", "unlink", "child_process", "`")):
        yield "shell_obfuscated", "medium", "runs commands from another language"


@cache
def _signal() -> Any:
    return compile_re2(_SIGNAL)


def _blocks(piece: Snippet) -> Iterator[tuple[int, str]]:
    """Where lines stand that begin as a command does, in a text that holds a sign of danger; up to a blank line."""
    if _signal().search(piece.text.encode("ascii", "replace")) is None:
        return
    place, taken, blocks = 0, 0, 0
    for line in piece.text.splitlines(keepends=True):
        head = line.lstrip(" \t>$#%-*")
        if place >= taken and _leads(head):
            end = piece.text.find("\n\n", place)
            start = place + len(line) - len(head)
            taken = min(len(piece.text) if end < 0 else end, start + MAX_CHARACTERS)
            yield start, piece.text[start:taken]
            blocks += 1
            if blocks == MAX_BLOCKS:
                return
        place += len(line)


def _leads(head: str) -> bool:
    word = head[:200].split(maxsplit=1)[0] if head.strip() else ""
    name = word.rpartition("/")[2]
    return name in _LEADS or name.startswith(("mkfs", "$", "python")) or any(sign in word for sign in "'\"\\=$;|`(")


@dataclass(frozen=True)
class ShellDanger(DangerScanner):
    """Finds danger in shell commands; `assume` where the text is known to be one, as of a terminal tool."""

    name: str = SCANNER
    language: ClassVar[str] = "shell"

    def look(self, piece: Snippet) -> Iterator[Danger]:
        """What is dangerous in one piece."""
        stated = self.assume or piece.language is not None
        for start, text in [(0, piece.text)] if stated else _blocks(piece):
            for danger in shell_dangers(_without_prompts(text)):
                yield danger._replace(span=(start + danger.span[0], start + danger.span[1]))


def _without_prompts(text: str) -> str:
    """The text with the `$ ` of a copied terminal session blanked."""
    if not text.lstrip().startswith("$ ") and "\n$ " not in text:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(line.replace("$ ", "  ", 1) if line.lstrip().startswith("$ ") else line for line in lines)
