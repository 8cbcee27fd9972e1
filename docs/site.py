"""What the documentation site needs beside the pages in docs/: pages that live elsewhere in the
repository, and links between them. MkDocs calls the functions by their names."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

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
    "tour.md": "docs/tour.ipynb",
}
COLOUR = re.compile(r"\x1b\[[\d;]*m")  # of a terminal
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation is the index: a section a heading, and the pages that it links to."""
    sections = re.split(r"^## (.*)$", (ROOT / "docs" / "index.md").read_text(), flags=re.MULTILINE)
    pages = {path: page for page, path in ELSEWHERE.items()}
    seen: set[str] = set()
    config.nav = [{"Overview": "index.md"}]
    for title, text in zip(sections[1::2], sections[2::2], strict=True):
        links = (match[3] for match in LINK.finditer(text))
        paths = [os.path.normpath(f"docs/{link}") for link in links]
        found = [pages.get(path, path.removeprefix("docs/")) for path in paths]
        config.nav.append({title: [page for page in dict.fromkeys(found) if page not in seen]})
        seen.update(found)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, path in ELSEWHERE.items():
        text = (ROOT / path).read_text()
        if path.endswith(".ipynb"):
            text, pictures = notebook(json.loads(text))
            for name, content in pictures.items():
                files.append(File.generated(config, name, content=content))
        files.append(File.generated(config, page, content=text))
    return files


def notebook(content: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and the pictures among its stored outputs by file name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in content["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else fenced(source, "python"))
        printed = ""
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"pictures/tour-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![What the code above shows]({name})")
            else:
                printed += "".join(output.get("text", data.get("text/plain", "")))
        if printed.strip():
            parts.append(fenced(COLOUR.sub("", printed).strip("\n"), "text"))
    return "\n\n".join(parts) + "\n", pictures


def fenced(code: str, language: str) -> str:
    return f"```{language}\n{code}\n```"


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
