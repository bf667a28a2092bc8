"""What shell commands do together: what one downloads or decodes and another runs, what is read and sent away."""

import base64
import binascii
from collections.abc import Iterable, Iterator

from backstay.scan.danger import names
from backstay.scan.shell_git import Sign
from backstay.scan.shell_prefixes import INTERPRETERS, SHELLS, UNKNOWN, Run
from backstay.scan.shell_quoting import printed
from backstay.scan.shell_script import Command, Script
from backstay.scan.shell_targets import is_secret

DOWNLOADERS = names("curl wget fetch http https aria2c lynx axel httpie")
SENDERS = DOWNLOADERS | names("nc ncat netcat socat mail mailx sendmail telnet ssh scp ftp rclone openssl")
_DECODERS = names("xxd rev tr uudecode gunzip zcat base32 basenc openssl")
_RUNNERS = INTERPRETERS | {"eval", "source", "."}
_SSH_VALUES = "bcDEeFIiJLlmOopQRSWw"
_PRINTS_CODE = names("ssh-agent direnv brew dircolors pyenv rbenv conda starship zoxide lesspipe luarocks")

_DOWNLOAD_RUN: Sign = ("shell_download_run", "critical", "runs what was downloaded")
_DECODE_RUN: Sign = ("shell_obfuscated", "high", "runs what was encoded")
_SENT: Sign = ("shell_credentials", "critical", "sends the environment or secrets away")


def reads_standard_input(run: Run) -> bool:
    """Whether an interpreter takes its script from the pipe."""
    if run.name not in INTERPRETERS or "-c" in run.args or "-e" in run.args:
        return run.name in ("source", ".") and run.args[:1] == ["/dev/stdin"]
    targets = run.targets
    return not targets or targets[0] in ("-", "/dev/stdin", "/dev/fd/0") or run.option("s")


def decodes(run: Run) -> bool:
    """Whether it turns an encoded text into a plain one."""
    if run.name in ("base64", "gbase64", "gzip"):
        return run.option("dD", "--decode", "--decompress")
    return run.name in _DECODERS


def shows_environment(run: Run) -> bool:
    """Whether it prints all variables."""
    if run.name in ("env", "printenv", "set"):
        return not run.targets
    return run.name in ("export", "declare") and run.args[:1] in ([], ["-p"], ["-x"])


def pipeline_signs(stages: list[list[Command]]) -> Iterator[tuple[Command, Sign]]:
    """What the last stages of a pipeline do with what the first ones give."""
    downloaded = decoded = secret = False
    for stage in stages:
        for run in (command.run for command in stage):
            if reads_standard_input(run) or ("xargs" in run.prefixes and run.name in INTERPRETERS):
                yield from ((command, _DOWNLOAD_RUN) for command in stage[-1:] if downloaded)
                yield from ((command, _DECODE_RUN) for command in stage[-1:] if decoded)
            if run.name in SENDERS and secret:
                yield stage[-1], _SENT
        for run in (command.run for command in stage):
            downloaded = downloaded or run.name in DOWNLOADERS
            decoded = decoded or decodes(run)
            secret = secret or shows_environment(run) or _reads_secret(run)


def _reads_secret(run: Run) -> bool:
    return run.name not in ("ls", "echo", "find") and any(is_secret(arg) for arg in run.args)


def piped_texts(stages: list[list[Command]]) -> Iterator[tuple[Command, str, Run]]:
    """Fixed texts that a pipeline hands to its last command, decoded where that was asked for."""
    runs = [command.run for stage in stages for command in stage]
    last = stages[-1][-1] if stages and stages[-1] else None
    if last is None:
        return
    given = stages[0][0].given if stages[0] else None
    text: str | None = given if given is not None and runs[0].name == "cat" else None
    if runs[0].name in ("echo", "printf"):
        text = printed(runs[0].name, runs[0].args)
    for run in runs[1:-1]:
        if text is not None and decodes(run):
            text = _decoded(run.name, text)
    if text is not None and UNKNOWN not in text:
        yield last, text, runs[-1]


def _decoded(name: str, text: str) -> str | None:
    try:
        if name in ("base64", "gbase64"):
            return base64.b64decode(text).decode("utf-8", "replace")
        if name == "xxd":
            return bytes.fromhex("".join(text.split())).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None
    return text[::-1] if name == "rev" else None


def output_signs(command: Command, run: Run) -> Iterator[Sign]:
    """What it means that a word of a command is what others print: `sh -c "$(curl ...)"`, `curl -d "$(env)"`."""
    inner = [one.run for word in command.words for one in word.inner]
    if run.name in _RUNNERS:
        if any(one.name in DOWNLOADERS for one in inner):
            yield _DOWNLOAD_RUN
        if any(decodes(one) for one in inner):
            yield _DECODE_RUN
    if run.name in SENDERS and any(shows_environment(one) or _reads_secret(one) for one in inner):
        yield _SENT
    if run.name == "eval" and UNKNOWN in "".join(run.args) and not any(one.name in _PRINTS_CODE for one in inner):
        yield "shell_obfuscated", "medium", "runs a text that is not known"


def fetched_and_run(script: Script) -> Iterator[tuple[Command, Sign]]:
    """Files that are downloaded by one command and started by a later one."""
    fetched: set[str] = set()
    for command in script.commands:
        run = command.run
        if run.name in DOWNLOADERS:
            fetched.update(_saved(command, run))
            continue
        path = run.words[0].text if run.words else ""
        started = {path} | (set(run.targets[:1]) if run.name in _RUNNERS else set())
        if {_bare(one) for one in started if one} & fetched:
            yield command, _DOWNLOAD_RUN


def _bare(path: str) -> str:
    return path.removeprefix("./")


def _saved(command: Command, run: Run) -> Iterable[str]:
    yield from (_bare(word.text) for sign, word in command.redirects if sign in (">", ">>"))
    named = run.after("-o", "--output", "--output-document", *(["-O"] if run.name == "wget" else []))
    yield from (_bare(path) for path in named if path != "-")
    joined = [arg for arg in run.args if arg.startswith("-") and not arg.startswith("--") and arg[-1:] in ("o", "O")]
    yield from (_bare(path) for path in run.after(*joined) if "://" not in path)
    if run.name == "wget" or any(arg.endswith("O") for arg in joined):
        yield from (target.partition("?")[0].rpartition("/")[2] for target in run.targets if "/" in target)


def fifo_reverse(script: Script) -> bool:
    """Whether a named pipe joins a shell with a network tool."""
    names = {command.run.name for command in script.commands}
    return bool({"mkfifo", "mknod"} & names) and bool(names & {"nc", "ncat", "netcat", "telnet", "openssl", "socat"})


def forks_forever(script: Script) -> bool:
    """Whether a function starts itself in a pipeline: a fork bomb."""
    return any(any(command.run.name == name for command in piped) for name, piped in script.functions.items())


def hides_its_name(command: Command, run: Run, *, known: bool) -> Iterator[Sign]:
    """Ways of writing a command's name that only serve to hide it; `known` where the name alone says something."""
    heads = command.words[:1] + run.words[:1]
    tricks = frozenset[str]().union(*(word.tricks for word in heads))
    if tricks & {"quotes", "numbers", "ifs", "slice"} or any("ifs" in word.tricks for word in command.words):
        yield "shell_obfuscated", "high", "a command's name written in pieces or numbers"
    elif (tricks & {"variable", "output"} and known) or _is_pattern(heads):
        yield "shell_obfuscated", "high", "a command's name put together"
    elif UNKNOWN in run.name and run.name != "found":
        yield "shell_obfuscated", "low", "a command whose name is not known"


def _is_pattern(heads: Iterable[object]) -> bool:
    texts = [getattr(word, "text", "") for word in heads]
    names = [text.rpartition("/")[2] for text in texts if text.startswith("/")]
    return any(any(sign in name for sign in "?*[") and any(char.isalnum() for char in name) for name in names)


def script_text(run: Run) -> str | None:
    """The script that a command hands to a shell as a text."""
    if run.name in SHELLS | {"su", "runuser", "script", "sg"}:
        flags = [
            place
            for place, arg in enumerate(run.args)
            if arg.startswith("-") and not arg.startswith("--") and "c" in arg
        ]
        return run.args[flags[0] + 1] if flags and flags[0] + 1 < len(run.args) else None
    if run.name in ("eval", "watch"):
        return " ".join(run.args) if run.args else None
    if run.name == "trap":
        return run.args[0] if run.args else None
    if run.name == "alias":
        return "; ".join(arg.partition("=")[2] for arg in run.args) or None
    if run.name in ("ssh", "docker", "kubectl", "podman"):
        return _elsewhere(run)
    return None


def _elsewhere(run: Run) -> str | None:
    """The command that is run on another machine or in a container."""
    if run.name == "ssh":
        values = {value for flag in _SSH_VALUES for value in run.after(f"-{flag}")}
        return " ".join([target for target in run.targets if target not in values][1:]) or None
    if run.targets[:1] != ["exec"]:
        return None
    words = run.args[run.args.index("--") + 1 :] if "--" in run.args else run.targets[2:]
    return " ".join(words) or None
