"""The site builds offline from what the tests run, and each of its links leads somewhere.

`zensical --strict` refuses links between pages that are broken; what it does not look at (pictures, anchors, pages that
were written by hand in HTML) is looked up here in the pages as built.
"""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page links to, and where it may be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if name in ("href", "src") and value and tag in ("a", "img", "script"):
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("zensical")
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, ROOT / "docs/website.py", target], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_no_link_is_broken(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} (no such place)")
    assert not broken


def test_search_and_reference_are_there_without_a_network(site: Path) -> None:
    """The index of the search is a file; the catalogue and the commands are pages."""
    assert (site / "search.json").stat().st_size > 10_000
    assert "gb200-nvl72" in (site / "reference/systems.html").read_text("utf-8")
    assert "--tpot" in (site / "reference/commands.html").read_text("utf-8")
    assert "balance_batch" in (site / "law/time.html").read_text("utf-8")


def test_every_page_is_in_the_navigation(site: Path) -> None:
    """A page that nothing leads to is not read."""
    start = Page(site / "index.html")
    reached = {(site / urlsplit(link).path).resolve() for link in start.links if not urlsplit(link).scheme}
    lost = [path for path in site.rglob("*.html") if path.name != "404.html" and path.resolve() not in reached]
    assert not lost
