"""A headless Chromium that reads a page as a person does: its width, its theme; what is wrong with it is told.

The browser is Debian's ``chromium``, driven by Playwright's Python package; nothing is downloaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = {"wide": (1280, 900), "narrow": (390, 844)}

# Pairs of pieces of text whose boxes cross by more than a hair, within `root`; an element over its own parent is none.
_OVERLAPS = """
(root) => {
  const boxes = [];
  const walker = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || ['TITLE', 'STYLE', 'SCRIPT'].includes(parent.tagName.toUpperCase())) continue;
    if (getComputedStyle(parent).visibility === 'hidden') continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width > 1 && box.height > 1) boxes.push([box, node.textContent.trim().slice(0, 40), node]);
    }
  }
  const found = [];
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length && found.length < 5; j++) {
    const [a, told, one] = boxes[i], [b, other, two] = boxes[j];
    if (one === two) continue;
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 2 && high > 0.4 * Math.min(a.height, b.height)) found.push(told + ' | ' + other);
  }
  return found;
}
"""


@dataclass
class Seen:
    """A page as it was looked at.

    Args:
        page: Playwright's.
        errors: what its console calls an error, and what was thrown.
        requests: addresses that were asked for.
    """

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def overlaps(self, root: str = "body") -> list[str]:
        """Pieces of text that lie on each other."""
        return list(self.page.evaluate(_OVERLAPS, root))

    def shoot(self, path: Path) -> None:
        """A picture of the whole page."""
        self.page.screenshot(path=str(path), full_page=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser; one a file of tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no browser: chromium (Debian) is not installed")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield made
        finally:
            made.close()


@contextmanager
def looking(browser: Any, address: str, width: str, scheme: str) -> Iterator[Seen]:
    """The page at ``address`` in a window ``wide`` or ``narrow``, ``light`` or ``dark``."""
    across, down = WIDTHS[width]
    context = browser.new_context(viewport={"width": across, "height": down}, color_scheme=scheme)
    try:
        seen = Seen(context.new_page())
        seen.page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(address, wait_until="load")
        yield seen
    finally:
        context.close()
