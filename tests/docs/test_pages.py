"""What a person reads must name everything there is."""

from __future__ import annotations

import ast
import re

import yaml
from typer.main import get_command

from cli.main import app
from eightbells.settings import PROJECT
from tests.metrics import DOCUMENTED, documented_metrics, families


def test_every_metric_is_documented_and_every_documented_metric_is_served(engine, configure):
    documented = documented_metrics()
    assert len(documented) == len(DOCUMENTED), "one is there twice"
    served = families(engine, configure)
    assert set(documented) == set(served)
    for name, family in served.items():
        histogram = {"le"} if family.type == "histogram" else set()
        assert all(set(it.labels) - histogram == documented[name] for it in family.samples), name


def test_every_command_the_readme_shows_exists():
    readme = (PROJECT / "README.md").read_text()
    shown = set(re.findall(r"^eightbells ([a-z-]+)", readme, re.M))
    assert shown
    assert shown <= set(get_command(app).commands)


def test_every_make_target_the_readme_shows_exists():
    readme, makefile = (PROJECT / "README.md").read_text(), (PROJECT / "Makefile").read_text()
    shown = set(re.findall(r"^make ([a-z]+)", readme, re.M))
    assert {"demo", "test", "check", "bench"} <= shown
    assert shown <= set(re.findall(r"^([a-z]+):", makefile, re.M))


def test_every_picture_the_readme_shows_exists_and_says_what_it_shows():
    pictures = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", (PROJECT / "README.md").read_text())
    assert pictures
    for words, file in pictures:
        assert len(words.split()) > 5, file
        assert (PROJECT / file).is_file()


def test_every_deployment_says_what_it_does_and_names_a_flow_that_exists():
    from orchestration.deployments import declared, flow_of

    entries = declared()
    assert len({entry["name"] for entry in entries}) == len(entries)
    for entry in entries:
        assert len(entry["description"].split()) > 10, entry["name"]
        assert flow_of(entry).name == entry["name"]
        assert entry["tags"]


def test_prefect_yaml_is_what_prefect_deploy_reads():
    content = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
    for entry in content["deployments"]:
        assert {"name", "entrypoint", "work_pool", "schedules", "parameters"} <= entry.keys()


def test_every_file_and_table_of_the_architecture_page_exists():
    named = set(re.findall(r"`([a-z_/]+\.py|[a-z_]+s)`", (PROJECT / "docs/architecture.md").read_text()))
    tables = set(
        re.findall(r"CREATE TABLE (\w+)", "".join(it.read_text() for it in (PROJECT / "sql").glob("*.sql")))
    )
    files = {name for name in named if name.endswith(".py")}
    assert len(files) > 5
    rooms = (PROJECT, PROJECT / "eightbells")
    assert [name for name in files if not any((room / name).is_file() for room in rooms)] == []
    assert named - files <= tables | {"metrics"}
    assert len(named & tables) > 5


def test_every_walk_of_the_architecture_page_is_short_and_names_functions_that_exist():
    page = (PROJECT / "docs/architecture.md").read_text()
    walks = re.findall(r"^### (One \w+)\n(.*?)(?=^##)", page, re.M | re.S)
    assert {name for name, _ in walks} >= {"One candle", "One order", "One retry", "One setting"}
    for name, walk in walks:
        steps = re.findall(r"^\d+\. ", walk, re.M)
        named = re.findall(r"`([\w.]+)(?:\(\))?` \(`([\w/]+\.py)`\)", walk)
        assert 0 < len(steps) < 15, name
        assert len(named) >= len(steps), f"{name}: a step names no function and file"
        for function, file in named:
            (path,) = [room / file for room in (PROJECT, PROJECT / "eightbells") if (room / file).is_file()]
            assert function in _defined(ast.parse(path.read_text()).body), (name, function, file)


def _defined(body: list[ast.stmt], within: str = "") -> set[str]:
    """Names of the functions and classes of a module, methods with their class."""
    found = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(within + node.name)
        if isinstance(node, ast.ClassDef):
            found |= _defined(node.body, f"{node.name}.")
    return found


def test_every_built_in_strategy_has_its_page_with_its_parameters():
    from eightbells.settings import StrategySettings
    from eightbells.strategies.contract import BUILT_IN, build

    pages = PROJECT / "docs/strategies"
    assert {page.stem for page in pages.glob("*.md")} == set(BUILT_IN)
    for kind in BUILT_IN:
        text = (pages / f"{kind}.md").read_text()
        parameters = type(build(StrategySettings(name="s", kind=kind, capital=1))).Parameters()
        rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.M))
        assert rows == {name: f"{value:g}" for name, value in parameters.model_dump().items()}
        for words in ("**Idea.**", "**When it loses.**", "**Figures.**", "Sharpe"):
            assert words in text
