"""What the documentation site needs beside the pages in docs/: pages that live elsewhere in the
repository, and links between them. MkDocs calls the functions by their names."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Page of the site -> file of the repository.
ELSEWHERE = {
    "readme.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "leaderboard.md": "results/LEADERBOARD.md",
    "harmon-mini.md": "model/bundled/harmon-mini/README.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation is the index: a section a heading, and the pages that it links to."""
    sections = re.split(r"^## (.*)$", (ROOT / "docs" / "index.md").read_text(), flags=re.MULTILINE)
    pages = {path: page for page, path in ELSEWHERE.items()}
    seen: set[str] = set()
    config.nav = [{"Overview": "index.md"}]
    for title, text in zip(sections[1::2], sections[2::2], strict=True):
        links = (match[3] for match in LINK.finditer(text))
        found = [pages.get(link.removeprefix("../"), link) for link in links]
        config.nav.append({title: [page for page in dict.fromkeys(found) if page not in seen]})
        seen.update(found)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, path in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository become links between pages of the site.

    A link to what is no page, such as a folder of runs, becomes its text."""
    own = page.file.src_uri
    source = PurePosixPath(ELSEWHERE.get(own, f"docs/{own}"))
    pages = {path: page for page, path in ELSEWHERE.items()}

    def moved(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups()
        path = os.path.normpath(source.parent / target)
        if not (ROOT / path).exists():
            return match[0]  # MkDocs warns of it
        place = pages.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        if not place:
            return text
        link = os.path.relpath(place, PurePosixPath(own).parent)
        return f"{picture}[{text}]({link}{anchor or ''})"

    return LINK.sub(moved, markdown)
