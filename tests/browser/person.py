"""A person at Prefect's UI: what they click, what they read, and the pictures they take of it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect

ENDED = re.compile("^(Completed|Failed|Crashed|Cancelled)$")
WIDTH, HEIGHT = 1280, 1200  # high: what is not in sight is not even in the page
PATIENCE_MS = 90_000  # a run started in the UI begins within seconds where nothing else is done


class Person:
    """One browser window on the UI of a Prefect server."""

    def __init__(self, page: Page, ui: str, pictures: Path) -> None:
        self.page, self._ui, self._pictures = page, ui, pictures
        self._go("/dashboard")

    def _go(self, path: str) -> None:
        self.page.goto(f"{self._ui}{path}")

    def home(self) -> None:
        """Back to the UI from another site."""
        self._go("/dashboard")

    def picture(self, name: str, height: int = 800, heading: str = "") -> None:
        """Keep what the window shows once it has come to rest: so high, or from a heading on."""
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        if heading:
            self.page.get_by_role("heading", name=heading, exact=True).evaluate("it => it.scrollIntoView()")
        self.page.mouse.move(0, 0)
        self.keep(f"{name}.png", self._at_rest())
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def _at_rest(self) -> bytes:
        """What the window shows when nothing in it has changed for a while, or some seconds are over."""
        before, seen = b"", self.page.screenshot(animations="disabled")
        for _ in range(10):
            if seen == before:
                break
            self.page.wait_for_timeout(700)
            before, seen = seen, self.page.screenshot(animations="disabled")
        return seen

    def keep(self, name: str, content: bytes | str) -> None:
        (self._pictures / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def open_deployments(self) -> None:
        self.page.get_by_role("button", name="Deployments", exact=True).click()
        self.page.wait_for_url("**/deployments")

    def open_deployment(self, name: str) -> None:
        """Find a deployment by its name: the list shows ten a page."""
        self.open_deployments()
        self.page.get_by_placeholder("Search deployments").fill(name)
        link = self.page.get_by_role("link", name=name, exact=True).first
        for _ in range(3):  # a click while the UI redraws the list is lost
            link.click()
            with suppress(TimeoutError):
                self.page.wait_for_url("**/deployments/deployment/*", timeout=10_000)
                return
        raise AssertionError(f"the deployment {name} does not open")

    def describes(self, words: str) -> None:
        """The deployment that is open says this of itself."""
        self.page.get_by_text("Description", exact=True).click()
        expect(self.page.locator("article").first).to_contain_text(words)

    def open_form(self, deployment: str) -> None:
        self.open_deployment(deployment)
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_text("Custom run", exact=True).click()
        expect(self.page.get_by_text("Run Name")).to_be_visible()

    def field(self, name: str) -> Locator:
        label = self.page.locator(".schema-form-property__label").filter(has_text=re.compile(rf"^{name}\b"))
        return self.page.locator(".schema-form-property").filter(has=label)

    def list_of(self, name: str, *items: str) -> None:
        field = self.field(name)
        field.get_by_role("button", name="list", exact=True).click()
        for number, item in enumerate(items):
            field.get_by_role("button", name="Add item").click()
            field.locator("textarea").nth(number).fill(item)

    def day(self, name: str, day: str) -> None:
        field = self.field(name)
        field.get_by_role("button", name="date", exact=True).click()
        field.locator(".p-date-button__control").click()
        self.page.locator("input[type=date]").fill(day)
        self.page.get_by_role("button", name="Apply", exact=True).click()

    def words(self, name: str, words: str) -> None:
        self.field(name).locator("textarea, input[type=text]").first.fill(words)

    def choice(self, name: str, option: str) -> None:
        self.field(name).locator(".p-select-button__control").press("ArrowDown")
        self.page.locator(".p-select-option").get_by_text(option, exact=True).click()

    def choices(self, name: str) -> list[str]:
        """What the form offers for a parameter."""
        button = self.field(name).locator(".p-select-button__control")
        button.press("ArrowDown")
        options = self.page.locator(".p-select-option")
        expect(options.first).to_be_visible()
        offered = [it.strip() for it in options.all_inner_texts()]
        button.press("Escape")
        return offered

    def numbers(self, name: str, *numbers: int) -> None:
        field = self.field(name)
        for at, number in enumerate(numbers):
            field.get_by_role("button", name="Add item").click()
            field.locator("input").nth(at).fill(str(number))

    def submit(self) -> str:
        """Start the run that the form describes and open its page; returns its id."""
        with self.page.expect_response("**/create_flow_run") as created:
            self.page.get_by_role("button", name="Submit", exact=True).click()
        run = created.value.json()["id"]
        self.open_run(run)
        return str(run)

    def open_run(self, run: str) -> None:
        self._go(f"/runs/flow-run/{run}")

    def open_artifact_itself(self, artifact: str) -> None:
        self._go(f"/artifacts/artifact/{artifact}")

    def follow(self) -> str:
        """Stay on the run's page until it has ended; returns its state."""
        state = self.page.locator(".state-badge").first
        expect(state).to_have_text(ENDED, timeout=PATIENCE_MS)
        return state.inner_text().strip()

    def open_artifact(self, key: str) -> None:
        """From a run's page to one of its artifacts."""
        self.page.locator("li", has_text="Artifacts").click()
        self.page.locator(".artifact-card", has_text=key).click()
        self.page.wait_for_url("**/artifacts/artifact/*")

    def table(self, heading: str) -> list[list[str]]:
        """The rows of the table below a heading of the report that is open, without their head."""
        table = self.page.get_by_role("heading", name=heading, exact=True).locator(
            "xpath=following::table[1]"
        )
        expect(table).to_be_visible()
        return [row.get_by_role("cell").all_inner_texts() for row in table.locator("tbody tr").all()]

    def row(self, name: str) -> list[str]:
        """What stands in the row of this name."""
        cells = self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=name, exact=True))
        expect(cells).to_be_visible()
        return cells.get_by_role("cell").all_inner_texts()[1:]
