"""One bare Debian in namespaces of its own. Its base is made once and kept; each machine is a copy that goes again."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.surroundings import ROOT

CACHE = Path("/var/cache/eightbells-fresh")
PACKAGES = "python3,python3-venv,make,ca-certificates"  # the README's, and what lets pip trust this machine's network
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
# Folders as people have them: root's own, and one whose name programs like to stumble over.
PROJECTS = {"root": "root/eightbells", "user": "home/user/it's my $HOME, größer"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
_OF_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def make_base(release: str) -> None:
    """Make the base system of a release, unless it is there. Raises CalledProcessError; the log is beside it."""
    base = CACHE / release
    if base.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    part = base.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(part), *_mirror()]
    with open(base.with_suffix(".log"), "w") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)
        subprocess.run(["chroot", part, "useradd", "-m", "user"], stdout=log, stderr=log, check=True)
    part.rename(base)


def _mirror() -> list[str]:
    """Where this machine's own packages come from; nothing where it is no Debian, debootstrap then has its own."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()[:1]


class Machine:
    """A copy of the base with the project's last commit in it, as long as the context lasts."""

    def __init__(self, release: str, user: str) -> None:
        self._release, self._user = release, user
        self._project = PROJECTS[user]

    def __enter__(self) -> Machine:
        self._root = Path(tempfile.mkdtemp(prefix=f"{self._release}-{self._user}-", dir=CACHE))
        self._root.chmod(0o755)
        subprocess.run(["cp", "--archive", f"{CACHE / self._release}/.", self._root], check=True)
        self._configure_network()
        project = self._root / self._project
        subprocess.run(["git", "clone", "--quiet", ROOT, project], check=True)
        if self._user != "root":
            subprocess.run(["chroot", self._root, "chown", "-R", "user:", f"/{self._project}"], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._root)

    def run(self, command: str, network: bool, seconds: float) -> tuple[int, str]:
        """Run a command in the project's folder; returns its exit code, and what it said.

        Args:
            network: without one, the project's folder is read-only, too.
        """
        own = ["--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
        outside = ["unshare", *own, f"--mount-proc={self._root}/proc", "sh", "-ec", _OUTSIDE, self._root]
        project = ["/" + self._project, "rw" if network else "ro"]
        become = [] if self._user == "root" else ["setpriv", "--reuid=user", "--regid=user", "--init-groups"]
        inside = [*become, "sh", "-c", 'cd "$0" && eval "$1"', f"/{self._project}", command]
        try:
            done = subprocess.run(
                [*outside, *project, *self._environment(), *inside],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return 124, f"{(late.stdout or b'').decode(errors='replace')}\nended after {seconds:g} s"
        return done.returncode, done.stdout.decode(errors="replace")

    def _environment(self) -> list[str]:
        """That of a bare machine: no locale is set; and some place's time."""
        home = "/root" if self._user == "root" else "/home/user"
        given = {name: os.environ[name] for name in _OF_NETWORK if name in os.environ}
        given |= {"HOME": home, "PATH": _PATH, "TZ": "Asia/Kathmandu"}
        return ["env", "-i", *(f"{name}={value}" for name, value in given.items())]

    def _configure_network(self) -> None:
        """What this machine needs to reach its package registries, it takes along."""
        shutil.copy("/etc/resolv.conf", self._root / "etc/resolv.conf")
        settings = _pip_settings()
        lines = [f"{name} = {settings[name]}" for name in _OF_PIP if not _is_local(settings.get(name))]
        if trusted := settings.get("cert") or os.environ.get("SSL_CERT_FILE"):
            shutil.copy(trusted, self._root / CERTIFICATES)
            lines.append(f"cert = /{CERTIFICATES}")
        (self._root / "etc/pip.conf").write_text("\n".join(["[global]", *lines, ""]))


def _pip_settings() -> dict[str, str]:
    """How pip is set up here, by the last part of each name; what the environment says goes before files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = (line.split("=", 1) for line in reversed(listed.splitlines()))
    return {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, value in pairs}


def _is_local(setting: str | None) -> bool:
    return setting is None or "file:" in setting


# Loopback, devices and the project's folder, then the machine's own folder is the root of everything.
_OUTSIDE = """
root=$0 project=$0$1 mode=$2
shift 2
ip link set lo up
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
mount --bind "$project" "$project"
mount -o "remount,bind,$mode" "$project"
exec chroot "$root" "$@"
"""
