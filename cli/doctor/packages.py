"""The installed packages: whether each has what it requires, down to the last one. It asks nothing on the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def unmet(package: str, without: Iterable[str] = ()) -> tuple[int, list[str]]:
    """Walk what a package requires, with the markers of this machine and the extras that are asked for.

    Args:
        without: canonical names of packages that are not needed here.

    Returns:
        How many packages these are, and what is wrong with each requirement that is not met.
    """
    wrong, ahead, seen = dict[str, None](), [Requirement(package)], set[tuple[str, frozenset[str]]]()
    while ahead:
        owner = ahead.pop()
        for requirement in _required_by(owner):
            name = canonicalize_name(requirement.name)
            step = (name, frozenset(requirement.extras))
            if name in without:
                continue
            if problem := _problem(requirement):
                wrong[problem if owner.name == package else f"{problem} ({owner.name} needs it)"] = None
            elif step not in seen:
                ahead.append(requirement)
            seen.add(step)
    return len({name for name, _ in seen}), list(wrong)


def _required_by(owner: Requirement) -> Iterator[Requirement]:
    for line in distribution(owner.name).requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *owner.extras}):
            yield requirement


def _problem(requirement: Requirement) -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} is {found}, not {requirement.specifier}"
