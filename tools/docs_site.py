"""What MkDocs does beside its own for the site of docs/ (``hooks`` in mkdocs.yml).

The quickstart is the README's section "Use it", so that its blocks stand once, where a test types them. Links that leave docs/
go to the repository, and must name what is there. ``FOLDER/*.md`` in the nav is what lies there.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/promote-models/promote/blob/main/"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s]+)(?=\))")
_log = logging.getLogger("mkdocs.hooks.site")  # below mkdocs: a warning of it ends a strict build


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The nav with each ``FOLDER/*.md`` written out."""
    named = set(re.findall(r"[\w./-]+\.md", str(config.nav)))
    config.nav = [_written_out(item, named) for item in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/, and the quickstart."""
    files.append(File.generated(config, "quickstart.md", content=quickstart()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The page with links that leave docs/ made links to the repository."""
    folder = posixpath.dirname(page.file.src_uri)
    return _LINK.sub(lambda found: _elsewhere(found[1], folder, page.file.src_uri), markdown)


def quickstart() -> str:
    """The README's section "Use it" as a page of docs/, its links as seen from there."""
    _, found, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Use it\n")
    section, ended, _ = rest.partition("\n## And then\n")
    if not (found and ended):
        raise ValueError("README.md: no section 'Use it' before 'And then', of which the quickstart is made")
    return "# Quickstart\n" + _LINK.sub(lambda link: posixpath.relpath(link[1], "docs"), section)


def _written_out(item: Any, named: set[str]) -> Any:
    if isinstance(item, dict):
        return {title: _written_out(inner, named) for title, inner in item.items()}
    if not isinstance(item, list):
        return item
    found: list[Any] = []
    for inner in item:
        if isinstance(inner, str) and inner.endswith("*.md"):
            there = (path.relative_to(DOCS).as_posix() for path in sorted(DOCS.glob(inner)))
            found += [path for path in there if path not in named]
        else:
            found.append(_written_out(inner, named))
    return found


def _elsewhere(link: str, folder: str, page: str) -> str:
    """The link itself, or the repository's address of what lies outside docs/."""
    path, hash, anchor = link.partition("#")
    there = posixpath.normpath(posixpath.join("docs", folder, path))
    if there.startswith("docs/"):
        return link
    if (there, anchor) == ("README.md", "use-it"):
        return posixpath.relpath("quickstart.md", folder or ".")
    if there.startswith("..") or not (ROOT / there).exists():
        _log.warning("%s: %s names nothing in the repository", page, link)
    return REPOSITORY + there + hash + anchor
