"""What single shell commands do, by their names and arguments."""

from collections.abc import Callable, Iterator

from backstay.scan.danger import names
from backstay.scan.rule import Severity
from backstay.scan.shell_git import Sign, git_signs
from backstay.scan.shell_prefixes import UNKNOWN, Run
from backstay.scan.shell_targets import (
    METADATA,
    is_device,
    is_network_device,
    is_root_like,
    is_secret,
    is_system_file,
    is_unknown_root,
    is_whole_root,
    starts_things,
)

Rule = Callable[[Run], Iterator[Sign]]

_DESTROY, _PRIVILEGE, _PERSIST, _SECRET = (
    "shell_destructive", "shell_privilege", "shell_persistence", "shell_credentials",
)  # fmt: skip
_NO_READERS = names(
    "ls echo printf chmod mkdir touch test [ stat ssh ssh-add ssh-keygen ssh-copy-id git export cd rm find du file "
    "realpath dirname basename chown kubectl docker declare alias type which exit"
)
_FILTERS = frozenset(("-name", "-iname", "-path", "-regex", "-mtime", "-mmin", "-size", "-empty", "-newer", "-type"))
_LOSES: Sign = (_DESTROY, "high", "removes what cannot be brought back")


def _rm(run: Run) -> Iterator[Sign]:
    recursive = run.option("rR", "--recursive")
    for path in run.targets:
        if (recursive and is_root_like(path)) or is_system_file(path):
            yield _DESTROY, "critical" if recursive else "high", "removes a root, a home, or system files"
        elif is_secret(path):
            yield _DESTROY, "high", "removes keys or passwords"
        elif recursive and is_unknown_root(path):
            yield _DESTROY, "high", "removes a root where a variable is empty"
        elif recursive and path.rstrip("/").rpartition("/")[2] == ".git":
            yield _DESTROY, "high", "removes the history of a repository"
        elif recursive and path == UNKNOWN and "xargs" in run.prefixes:
            yield _DESTROY, "medium", "removes what it is handed"
        elif recursive and UNKNOWN in path:
            yield _DESTROY, "low", "removes a folder that is not known"
    if "--no-preserve-root" in run.args:
        yield _DESTROY, "critical", "removes a root"


def _dd(run: Run) -> Iterator[Sign]:
    for arg in run.args:
        if arg.startswith("of=") and (is_device(arg[3:]) or is_system_file(arg[3:])):
            yield _DESTROY, "critical", "writes over a device or a system file"


def _always(kind: str, severity: Severity, said: str) -> Rule:
    def rule(_: Run) -> Iterator[Sign]:
        yield kind, severity, said

    return rule


def _on(test: Callable[[Run], bool], sign: Sign) -> Rule:
    def rule(run: Run) -> Iterator[Sign]:
        if test(run):
            yield sign

    return rule


def _find(run: Run) -> Iterator[Sign]:
    roots = [arg for arg in run.args if not arg.startswith("-")][:1] or ["."]
    if "-delete" in run.args:
        if is_root_like(roots[0]) and roots[0] not in (".", "./"):
            yield _DESTROY, "high", "removes files below a root or a home"
        elif not _FILTERS & set(run.args):
            yield _DESTROY, "high", "removes everything here"


def found_command(run: Run) -> tuple[str, ...]:
    """The command that `find` runs on what it finds: `{}` is where it looks, or a file there."""
    for place, arg in enumerate(run.args):
        if arg in ("-exec", "-execdir", "-ok", "-okdir"):
            words = run.args[place + 1 :]
            stop = next((i for i, word in enumerate(words) if word in (";", "+")), len(words))
            root = run.args[0] if run.args and not run.args[0].startswith("-") else "."
            found = "./found" if root in (".", "./") and _FILTERS & set(run.args) else root
            return tuple(found if word == "{}" else word for word in words[:stop])
    return ()


def _terraform(run: Run) -> Iterator[Sign]:
    if "destroy" in run.args or "-destroy" in run.args or run.targets[:2] == ["state", "rm"]:
        yield _DESTROY, "critical", "destroys infrastructure"
    elif "apply" in run.args and "-auto-approve" in run.args:
        yield _DESTROY, "medium", "changes infrastructure without asking"


def _kubectl(run: Run) -> Iterator[Sign]:
    if {"delete", "drain", "replace"} & set(run.targets[:1]):
        wide = {"namespace", "namespaces", "ns", "node", "nodes", "pv", "pvc", "crd"} & set(run.targets)
        yield _DESTROY, "high" if wide or "--all" in run.args else "medium", "deletes from the cluster"
    elif run.targets[:1] in (["exec"], ["cp"]) and any(is_secret(arg) for arg in run.args):
        yield _SECRET, "high", "reads secrets"
    elif {"secret", "secrets"} & set(run.targets[:2]) and run.option("o", "--output"):
        yield _SECRET, "high", "reads secrets of the cluster"


def _cloud(run: Run) -> Iterator[Sign]:
    joined = " ".join(run.targets)
    verbs = ("delete", "terminate", "destroy", "purge", "rb ", "remove-")
    if (
        any(word.startswith(verbs) for word in run.targets)
        or " rb " in f" {joined} "
        or (" rm " in f" {joined} " and "--recursive" in run.args)
    ):
        yield _DESTROY, "high", "deletes from the cloud"
    if "get-secret-value" in joined or "print-access-token" in joined or "get-session-token" in joined:
        yield _SECRET, "high", "prints credentials"


def _docker(run: Run) -> Iterator[Sign]:
    words = run.targets
    if {"prune"} & set(words[:3]) or words[:2] in (["volume", "rm"], ["system", "reset"]):
        yield _DESTROY, "medium", "removes volumes, images or containers"
    mounts = run.after("-v", "--volume")
    if "--privileged" in run.args or any(m.startswith(("/:", "/var/run/docker.sock", "/etc:")) for m in mounts):
        yield _PRIVILEGE, "high", "a container with the host's rights"


def _chmod(run: Run) -> Iterator[Sign]:
    mode = run.targets[0] if run.targets else ""
    octal = mode.isdigit()
    if (octal and len(mode) == 4 and mode[0] in "24567") or (
        not octal and "+" in mode and "s" in mode.partition("+")[2]
    ):
        yield _PRIVILEGE, "high", "sets the rights of the owner on a program"
    elif (octal and mode[-1] in "267") or ("w" in mode.partition("+")[2] and mode[:1] in "ao"):
        yield _PRIVILEGE, "high", "lets everybody write"
    if run.option("R", "--recursive") and any(is_root_like(path) for path in run.targets[1:]):
        yield _DESTROY, "high", "changes rights of a whole system"


def _chown(run: Run) -> Iterator[Sign]:
    owner = run.targets[0] if run.targets else ""
    if owner.partition(":")[0] in ("root", "0"):
        yield _PRIVILEGE, "high", "gives files to root"
    if run.option("R", "--recursive") and any(is_root_like(path) for path in run.targets[1:]):
        yield _DESTROY, "high", "changes owners of a whole system"


def _crontab(run: Run) -> Iterator[Sign]:
    if not run.option("l", "--list"):
        yield _PERSIST, "high", "changes what runs at set times"


def _systemctl(run: Run) -> Iterator[Sign]:
    verb = run.targets[0] if run.targets else ""
    if verb in ("enable", "link", "edit"):
        yield _PERSIST, "high", "starts a service at every start"
    elif verb in ("stop", "disable", "mask", "poweroff", "reboot", "halt"):
        yield _DESTROY, "medium", "stops services or the machine"


def _netcat(run: Run) -> Iterator[Sign]:
    if run.option("ec", "--exec", "--sh-exec"):
        yield "shell_reverse", "critical", "gives a shell to another machine"


def _socat(run: Run) -> Iterator[Sign]:
    if any(word in arg.lower() for arg in run.args for word in ("exec:", "system:")):
        yield "shell_reverse", "critical", "gives a shell to another machine"


def _truncate(run: Run) -> Iterator[Sign]:
    if any(is_system_file(path) or is_device(path) for path in run.targets):
        yield _DESTROY, "high", "empties system files"


def _moved(run: Run) -> Iterator[Sign]:
    targets = run.targets
    if run.name == "mv" and targets[-1:] == ["/dev/null"]:
        yield _LOSES
    if run.name == "mv" and any(is_whole_root(path) for path in targets[:-1]):
        yield _DESTROY, "high", "moves a root or a home away"
    if targets and is_device(targets[-1]):
        yield _DESTROY, "critical", "writes over a device"


def _has(*words: str) -> Callable[[Run], bool]:
    return lambda run: any(word in arg.lower() for arg in run.args for word in words)


def _rsync(run: Run) -> Iterator[Sign]:
    if any(arg.startswith("--delete") for arg in run.args) and is_root_like((run.targets or ["x"])[-1]):
        yield _DESTROY, "high", "removes what is not in another folder"


def _exports(run: Run) -> Iterator[Sign]:
    if any(arg.startswith(("LD_PRELOAD=", "PROMPT_COMMAND=", "BASH_ENV=", "LD_AUDIT=")) for arg in run.args):
        yield _PERSIST, "medium", "makes other programs run something"


def _removes_software(run: Run) -> bool:
    return bool({"remove", "purge", "uninstall", "autoremove", "erase"} & set(run.targets[:1]))


_DISK = _always(_DESTROY, "critical", "formats or partitions a disk")
_ACCOUNT = _always(_PRIVILEGE, "high", "changes accounts or passwords")
_STOPPED: Sign = (_DESTROY, "medium", "stops services or programs")
_REMOVED: Sign = (_DESTROY, "medium", "removes software")
_STOPS = _always(_DESTROY, "medium", "stops the machine")
RULES: dict[str, Rule] = {
    "rm": _rm, "dd": _dd, "find": _find, "git": git_signs, "kubectl": _kubectl, "chmod": _chmod, "chown": _chown,
    "crontab": _crontab, "systemctl": _systemctl, "socat": _socat, "truncate": _truncate, "docker": _docker,
    "podman": _docker,
    **dict.fromkeys(("terraform", "tofu", "terragrunt", "pulumi"), _terraform),
    **dict.fromkeys(("aws", "gcloud", "az", "gsutil", "doctl", "oci"), _cloud),
    **dict.fromkeys(("nc", "ncat", "netcat"), _netcat),
    **dict.fromkeys(("mv", "cp", "install", "ln"), _moved),
    **dict.fromkeys(("wipefs", "fdisk", "sfdisk", "sgdisk", "parted", "mkswap", "blkdiscard", "hdparm"), _DISK),
    **dict.fromkeys(("shred", "srm"), _always(*_LOSES)),
    **dict.fromkeys(("shutdown", "reboot", "halt", "poweroff", "init"), _STOPS),
    **dict.fromkeys(("useradd", "adduser", "usermod", "passwd", "chpasswd", "visudo", "gpasswd", "chsh"), _ACCOUNT),
    **dict.fromkeys(("userdel", "deluser", "groupdel"), _always(_DESTROY, "high", "removes an account")),
    **dict.fromkeys(("su", "pkexec", "doas"), _always(_PRIVILEGE, "medium", "runs as another user")),
    **dict.fromkeys(("setcap", "nsenter", "insmod", "modprobe"), _always(_PRIVILEGE, "high", "raises privileges")),
    "setenforce": _always(_PRIVILEGE, "high", "turns a protection off"),
    "at": _always(_PERSIST, "medium", "runs something later"),
    "service": _on(_has("stop"), _STOPPED),
    **dict.fromkeys(("pkill", "killall"), _always(*_STOPPED)),
    **dict.fromkeys(("apt", "apt-get", "yum", "dnf", "brew", "npm", "pip", "snap"), _on(_removes_software, _REMOVED)),
    "rsync": _rsync,
    "export": _exports,
    "declare": _exports,
    "batch": _always(_PERSIST, "medium", "runs something later"),
    "launchctl": _on(_has("load", "bootstrap", "enable"), (_PERSIST, "high", "starts a service at every start")),
    "update-rc.d": _always(_PERSIST, "high", "starts a service at every start"),
    "iptables": _on(lambda run: run.option("FX", "--flush"), (_PRIVILEGE, "high", "opens the firewall")),
    "ufw": _on(_has("disable", "reset"), (_PRIVILEGE, "high", "opens the firewall")),
    "dropdb": _always(*_LOSES),
    "redis-cli": _on(_has("flushall", "flushdb", "shutdown"), _LOSES),
    **dict.fromkeys(("mongo", "mongosh"), _on(_has("dropdatabase", ".drop(", "deletemany({})"), _LOSES)),
    "helm": _on(_has("uninstall", "delete"), (_DESTROY, "high", "deletes from the cluster")),
    "kill": _on(lambda run: "-1" in run.args[1:] or run.targets == ["1"], (_DESTROY, "high", "ends all processes")),
    "history": _on(lambda run: run.option("c"), (_DESTROY, "medium", "clears the history")),
    "cryptsetup": _on(_has("luksformat", "erase"), _LOSES),
    "security": _on(_has("find-generic-password", "dump-keychain"), (_SECRET, "high", "reads the keychain")),
}  # fmt: skip


def signs_of(run: Run) -> Iterator[Sign]:
    """What one command does, without what its redirects, its shell text and its neighbours add."""
    if run.name.startswith("mkfs"):
        yield from _DISK(run)
    if run.name in RULES:
        yield from RULES[run.name](run)
    if {"sudo", "doas", "runuser"} & set(run.prefixes):
        yield _PRIVILEGE, "low", "runs as another user"
    if any(is_network_device(arg) for arg in run.args):
        yield "shell_reverse", "critical", "opens a socket from the shell"
    if run.name not in _NO_READERS and any(is_secret(arg.rpartition("=")[2]) for arg in run.args):
        yield _SECRET, "high", "reads keys, passwords or tokens"
    if any(host in arg for arg in run.args for host in METADATA) and run.name not in ("echo", "printf", "grep"):
        yield _SECRET, "high", "asks the cloud's metadata service"
    yield from _writes(run)


def _writes(run: Run) -> Iterator[Sign]:
    """What is written into by name."""
    written = list(run.targets) if run.name == "tee" else []
    if run.name in ("cp", "mv", "install", "ln", "scp", "rsync"):
        written = run.targets[-1:]
    if run.name == "sed" and run.option("i", "--in-place"):
        written = run.targets[1:] or run.targets
    if run.name in ("curl", "wget"):
        written = run.after("-o", "-O", "--output", "--output-document")
    yield from written_to(written, appended=run.name != "tee" or run.option("a", "--append"))


def written_to(paths: list[str], *, appended: bool) -> Iterator[Sign]:
    """What it means that these files are written."""
    for path in paths:
        if is_network_device(path):
            yield "shell_reverse", "critical", "opens a socket from the shell"
        elif starts_things(path):
            yield _PERSIST, "high", "writes a file from which something is started later"
        elif is_device(path):
            yield _DESTROY, "critical", "writes over a device"
        elif "etc/sudoers" in path:
            yield _PRIVILEGE, "critical", "changes who may become root"
        elif is_system_file(path):
            yield _DESTROY, "medium" if appended else "high", "writes a system file"
