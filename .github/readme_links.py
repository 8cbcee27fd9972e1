"""README.md for the package index, where relative links lead nowhere: they become links to the
repository at a tag.

    python .github/readme_links.py README.md https://github.com/OWNER/NAME TAG
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

RELATIVE = re.compile(r"\]\((?![a-z]+:|#)(?P<place>[^)\s]+)")
PICTURES = (".png", ".svg", ".jpg", ".webp", ".gif")


def absolute(text: str, repository: str, tag: str) -> str:
    def replaced(link: re.Match[str]) -> str:
        place = link["place"]
        kind = "raw" if place.endswith(PICTURES) else "blob"
        return f"]({repository}/{kind}/{tag}/{place}"

    return RELATIVE.sub(replaced, text)


if __name__ == "__main__":
    file, repository, tag = sys.argv[1:]
    place = Path(file)
    place.write_text(absolute(place.read_text(encoding="utf-8"), repository, tag), encoding="utf-8")
