"""What the words of a shell command point at: roots and homes, system files, devices, secrets, files that start things.

Words are matched as the shell would see them, by prefixes and sets: linear, and without regular expressions.
"""

import posixpath

from backstay.scan.danger import names
from backstay.scan.shell_prefixes import UNKNOWN

_SYSTEM = names("etc usr boot bin sbin lib lib64 sys proc dev root")
_TOP = _SYSTEM | names("var home opt srv mnt media run Users System Library Applications Windows")
_VAR = names("lib log www spool backups mail db")
_DISKS = ("sd", "hd", "vd", "xvd", "nvme", "mmcblk", "disk", "rdisk", "mapper/", "md", "mem", "loop")
_HARMLESS_DEVICES = frozenset(("null", "stdout", "stderr", "stdin", "tty", "zero", "random", "urandom", "full"))
_SECRETS = (
    ".aws/credentials", ".config/gcloud", ".azure/", ".kube/config", ".docker/config.json", ".netrc", ".pgpass",
    ".git-credentials", ".gnupg", ".npmrc", ".pypirc", ".password-store", ".local/share/keyrings", "login.keychain",
    "etc/shadow", "etc/gshadow", "etc/sudoers", ".vault-token", ".terraform.d/credentials", "id_rsa", "id_ed25519",
    "id_ecdsa", "id_dsa", "/environ", "Login Data", "logins.json", "/run/secrets", "var/run/secrets",
)  # fmt: skip
_STARTERS = (
    "etc/cron", "spool/cron", "etc/rc", "etc/init.d", "etc/profile", "etc/bash.bashrc", "etc/ld.so.preload",
    "etc/systemd/", ".config/systemd/", ".config/autostart", ".bashrc", ".bash_profile", ".bash_login", ".profile",
    ".zshrc", ".zprofile", ".zshenv", "authorized_keys", "LaunchAgents/", "LaunchDaemons/", "etc/pam.d",
    ".git/hooks/", ".git/config", ".ssh/rc", ".ssh/config", "etc/update-motd.d", "etc/environment",
)  # fmt: skip
_COMMON_SECRETS = (
    "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "~/.ssh/id_rsa", "~/.ssh/id_ed25519", "~/.aws/credentials",
)  # fmt: skip
METADATA = ("169.254.169.254", "metadata.google.internal", "100.100.100.200", "fd00:ec2::254")


def normal(path: str) -> str:
    """The path without `.`, `..` and double signs; `~/` at the front stays."""
    path = path.replace("/root/", "~/").removeprefix("file://")
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else posixpath.normpath(path or ".")


def is_root_like(path: str) -> bool:
    """Whether removing it with all below it takes a system, a home, or all that stands here."""
    bare = normal(path.rstrip("*").rstrip("/") or ("/" if path.startswith("/") else path and "*"))
    if bare in ("/", "~", "*", ".", "..", "./*", "../..") or (path.startswith("~") and "/" not in path.rstrip("/*")):
        return True
    parts = bare.strip("/").split("/")
    if not bare.startswith("/"):
        return parts[0] == ".." and set(parts) == {".."}
    first = parts[0].strip("{}").split(",")[0]
    if first in _SYSTEM or any(sign in path.strip("/").partition("/")[0] for sign in "*?["):
        return True
    return first in _TOP and (
        len(parts) == 1
        or (first == "var" and parts[1] in _VAR and len(parts) == 2)
        or (first in ("home", "Users", "var") and (len(parts) == 2 and (first != "var" or parts[1] in _VAR)))
    )


def is_whole_root(path: str) -> bool:
    """A root, a home or a folder of the system itself, not what stands below it."""
    return normal(path).count("/") <= 1 and path[:1] in ("/", "~") and is_root_like(path)


def is_unknown_root(path: str) -> bool:
    """Whether it is a root where a variable turns out empty: `$DIR/` or `$DIR/*`."""
    return path.startswith(f"/{UNKNOWN}") or (path.startswith(UNKNOWN) and path.strip(UNKNOWN) in ("/", "/*"))


def is_system_file(path: str) -> bool:
    """A file below /etc, /usr, /boot and the like; devices apart."""
    parts = normal(path).split("/")
    return path.startswith("/") and len(parts) > 2 and parts[1] in _SYSTEM - {"dev", "proc"}


def is_device(path: str) -> bool:
    """A disk or memory under /dev."""
    name = normal(path).removeprefix("/dev/")
    return normal(path).startswith("/dev/") and name not in _HARMLESS_DEVICES and name.startswith(_DISKS)


def is_secret(path: str) -> bool:
    """A file or folder that holds keys, passwords or tokens; public keys are none."""
    plain = normal(path).lstrip("@<")
    if plain.endswith((".pub", "known_hosts", ".example", ".sample", ".template")) or "://" in path:
        return False
    if any(sign in plain for sign in "*?[") and any(_fits(plain[:200], one) for one in _COMMON_SECRETS):
        return True
    name = plain.rpartition("/")[2]
    if name == ".env" or name.startswith(".env.") or name.endswith((".pem", ".p12", ".pfx", ".kdbx")):
        return True
    return name == ".ssh" or plain.endswith((".ssh/*", ".aws")) or any(one in plain for one in _SECRETS)


def _fits(pattern: str, name: str) -> bool:
    """Whether a pattern of `*` and `?` (a set in brackets counts as `*`) covers a name; linear for each star."""
    at, star, mark, place = 0, -1, 0, 0
    pattern = pattern.replace("[", "*").replace("]", "*")
    while place < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, mark, at = at, place, at + 1
        elif at < len(pattern) and pattern[at] in ("?", name[place]):
            at, place = at + 1, place + 1
        elif star >= 0 and name[mark] != "/":
            mark += 1
            at, place = star + 1, mark
        else:
            return False
    return not pattern[at:].strip("*")


def starts_things(path: str) -> bool:
    """A file from which something is started later: cron, login files, services, keys that let somebody in."""
    return any(one in normal(path) for one in _STARTERS)


def is_network_device(text: str) -> bool:
    """Bash's own files for sockets."""
    return "/dev/tcp/" in text or "/dev/udp/" in text
