"""The deployments as the Prefect server has them, compared with prefect.yaml and loaded as a worker would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.doctor.findings import Finding, fail, ok, warn
from orchestration.declared import declared

_SERVE = "register them: `eightbells up`, or `eightbells serve` if you do not run the server"


def look_at_deployments(known: dict[str, dict[str, Any]], folder: Path) -> Finding:
    """The worst of what is wrong with them.

    Args:
        known: the server's deployments, by name.
        folder: where the worker was started, to which a path on the server is relative.
    """
    entries = declared()
    if missing := [entry["name"] for entry in entries if entry["name"] not in known]:
        return fail("deployments", f"the server does not know {', '.join(missing)}", _SERVE)
    found = [(entry, known[entry["name"]]) for entry in entries]
    if broken := [f"{ours['name']} ({why})" for ours, theirs in found if (why := _objection(theirs, folder))]:
        return fail("deployments", f"no run can be started: {', '.join(broken)}", _SERVE)
    if paused := [ours["name"] for ours, theirs in found if ours["schedules"] and _is_paused(theirs)]:
        return warn("deployments", f"{', '.join(paused)}: paused", "switch the schedule on in the Prefect UI")
    if old := [ours["name"] for ours, theirs in found if not _is_current(ours, theirs)]:
        return warn("deployments", f"not as prefect.yaml declares them: {', '.join(old)}", _SERVE)
    return ok("deployments", f"{len(entries)}, as prefect.yaml declares them; each can be loaded")


def _objection(theirs: dict[str, Any], folder: Path) -> str:
    """Why a worker cannot load a deployment's flow; empty where it can."""
    from prefect.flows import load_flow_from_entrypoint

    entrypoint = theirs.get("entrypoint") or ""
    path, colon, name = entrypoint.rpartition(":")
    place = f"{_folder_of(theirs, folder) / path}:{name}" if colon else entrypoint
    try:
        load_flow_from_entrypoint(place, use_placeholder_flow=False)
    except Exception as error:  # whatever the code there raises when it is imported
        words = (str(error) or type(error).__name__).splitlines()[0]
        return f"{entrypoint or 'no entrypoint'}: {words[:200]}"
    return ""


def _folder_of(theirs: dict[str, Any], folder: Path) -> Path:
    """Where a worker of a work pool looks: `prefect deploy` registers a step that changes to it."""
    steps = [arguments for step in theirs.get("pull_steps") or [] for arguments in step.values()]
    return next((Path(it["directory"]) for it in steps if it.get("directory")), folder)


def _is_paused(theirs: dict[str, Any]) -> bool:
    return bool(theirs.get("paused")) or not any(it["active"] for it in theirs["schedules"])


def _is_current(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    crons = {it["cron"] for it in ours["schedules"]}
    return (
        crons == {it["schedule"].get("cron") for it in theirs["schedules"]}
        and theirs.get("entrypoint") == ours["entrypoint"]
        and (theirs.get("description") or "").strip() == ours["description"].strip()
        and set(theirs["tags"]) == set(ours["tags"])
    )
