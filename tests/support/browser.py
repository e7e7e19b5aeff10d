"""A real browser: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support.needs import need

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser; skip the test aloud where there is none."""
    need(bool(CHROMIUM), "Chromium (tests/prepare installs it where it can)")
    need(find_spec("playwright") is not None, "Playwright (a requirement for development)")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # it may not be there

    with sync_playwright() as playwright:
        # Root has no sandbox to start a browser in.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A window of its own, with cookies of its own. Whatever the console says is remembered."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.complaints: list[str] = []
        self.context = browser.new_context(base_url=url, reduced_motion="reduce", **options)
        self.context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (e) => console.error('policy', e.violatedDirective, e.blockedURI))"
        )
        self.page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: Any) -> None:
        # The browser itself reports every answer of 4xx, which is what some pages are meant to be.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def overflow(self) -> bool:
        """Return whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def violations(self) -> list[str]:
        """Return what axe-core finds, each with the first element that is wrong."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("(rules) => axe.run(document, {runOnly: rules})", RULES)
        return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found["violations"]]

    def close(self) -> None:
        self.context.close()
