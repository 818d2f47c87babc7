"""Says in one line what keeps Eightbells from being set up on this machine. Run before anything is downloaded.

It must run on every Python, also on one that is much too old: no annotations, no f-strings.
"""

import os
import platform
import sys
import sysconfig

OLDEST, NEWEST = (3, 11), (3, 14)
WITH_POSTGRES = (3, 13)  # the newest Python that the package of the embedded PostgreSQL has wheels for
GLIBC = (2, 28)
MACOS = (14, 0)
ANOTHER = "install one and name it: make demo PYTHON=python3.13"


def what_is_missing():
    """The first thing that is missing, with the remedy; empty where there is nothing."""
    return _python() or _system() or _venv() or _postgres()


def _python():
    version = platform.python_version()
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return "Python 3.11 to 3.14 is needed, {} is {}: {}".format(sys.executable, version, ANOTHER)
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "{} is not the usual build of CPython: {}".format(sys.executable, ANOTHER)
    if sys.maxsize < 2**32:
        return "{} is a 32-bit Python, a 64-bit one is needed: {}".format(sys.executable, ANOTHER)
    return ""


def _system():
    system, machine = platform.system(), platform.machine()
    words = ""
    if (system, machine) in (("Linux", "x86_64"), ("Linux", "aarch64")):
        name, version = platform.libc_ver()
        if name != "glibc" or _numbers(version) < GLIBC:
            words = " with {}".format(" ".join(filter(None, (name, version))) or "another C library")
    elif (system, machine) == ("Darwin", "arm64"):
        if _numbers(platform.mac_ver()[0]) < MACOS:
            words = " with macOS {}".format(platform.mac_ver()[0])
    else:
        words = " "
    if not words:
        return ""
    return (
        "{} on {}{} is not supported: use Linux with glibc 2.28 or newer on x86-64 or Arm64, macOS 14 or newer on"
        " Apple silicon, or the Docker image"
    ).format(system, machine, words.rstrip())


def _venv():
    try:
        __import__("venv")
        __import__("ensurepip")
    except ImportError:
        return (
            "{} cannot make virtual environments: install what it lacks (Debian, Ubuntu: apt install python{}.{}-venv)"
        ).format(sys.executable, *sys.version_info[:2])
    return ""


def _postgres():
    if os.environ.get("DATABASE_URL"):
        return ""
    where = ""
    if platform.system() == "Linux" and platform.machine() != "x86_64":
        where = "Linux on Arm64"
    elif sys.version_info[:2] > WITH_POSTGRES:
        where = "Python {}.{}".format(*sys.version_info[:2])
    if not where:
        return ""
    return (
        "there is no embedded PostgreSQL for {}: set DATABASE_URL to a PostgreSQL server of your own, 15 or newer"
        "{}"
    ).format(where, ", or use an older Python: make demo PYTHON=python3.13" if "Python" in where else "")


def _numbers(version):
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


if __name__ == "__main__":
    sys.exit(what_is_missing() or 0)
