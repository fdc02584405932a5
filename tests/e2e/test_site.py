"""The site of docs/: it builds strictly, no link leads nowhere, it asks nobody, and it can be read on a telephone.

Pictures lie in ``PROMOTE_PICTURES`` where that is set, to be looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.project import clean
from tests.parts.browser import browser as browser
from tests.parts.browser import looking

ROOT = Path(__file__).resolve().parents[2]
MKDOCS = Path(sys.executable).parent / "mkdocs"
LOADED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?(?:https?:)?//""")
# What Markdown takes for prose and a writer meant otherwise: a list or table that begins within a paragraph.
MEANT = re.compile(r"(^|\n)\s*(\||- |\d+\. )|```|\]\(|\*\*")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def build(folder, to):
    return subprocess.run(
        [MKDOCS, "build", "--site-dir", to], cwd=folder, capture_output=True, text=True, check=False,
        env=clean({"NO_MKDOCS_2_WARNING": "1"}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    to = tmp_path_factory.mktemp("site")
    done = build(ROOT, to)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return to


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *arguments):
        """Nothing: a test's output is pytest's."""


@pytest.fixture(scope="module")
def address(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[x](nowhere.md)", "nowhere.md"),
        ("[x](runbook.md#no-such-heading)", "no-such-heading"),
        ("[x](../src/promote/nothing.py)", "names nothing in the repository"),
    ],
)
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path, line, told):
    """The twin, without that line, is built by every other test here."""
    for name in ("docs", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("src", "tests", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    with (tmp_path / "docs/concepts.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{line}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert told in done.stderr


def test_every_page_is_there_and_none_asks_another_server(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")} - {Path("404")}
    assert built == {page.with_name("index") if page.name == "README" else page for page in pages} | {
        Path("quickstart")
    }
    for path in site.rglob("*.html"):
        assert LOADED.findall(path.read_text(encoding="utf-8")) == [], path


def test_no_list_or_table_is_lost_in_a_paragraph(site):
    for path in site.rglob("*.html"):
        article = "".join(re.findall(r"<article.*?</article>", path.read_text(encoding="utf-8"), re.S))
        prose = re.sub(r"<pre.*?</pre>|<code>.*?</code>", "", article, flags=re.S)
        lost = [text for text in re.findall(r"<(?:p|li|td)>(.*?)</(?:p|li|td)>", prose, re.S) if MEANT.search(text)]
        assert lost == [], path


def test_the_quickstart_is_what_a_test_types(site):
    """It is the README's section, whose blocks tests/e2e/test_readme.py types."""
    page = (site / "quickstart.html").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert page.count("language-console") == len(blocks) >= 4


LONG = ["quickstart", "concepts", "runbook", "reference/cli", "reference/settings"]
LOOKS = [("wide", "light", LONG), ("narrow", "dark", LONG), ("wide", "dark", []), ("narrow", "light", [])]


@pytest.mark.parametrize(("width", "scheme", "names"), LOOKS)
def test_pages_can_be_read(browser, address, width, scheme, names):
    for name in ["index", *names]:
        with looking(browser, f"{address}/{name}.html", width, scheme) as seen:
            if folder := os.environ.get("PROMOTE_PICTURES"):
                seen.shoot(Path(folder) / f"site-{name.replace('/', '-')}-{width}-{scheme}.png")
            assert seen.overflow <= 0, name
            assert seen.errors == [], name
            assert [asked for asked in seen.requests if not asked.startswith(address)] == [], name
            dark = seen.page.evaluate("document.body.dataset.mdColorScheme") == "slate"
            assert dark == (scheme == "dark"), name
