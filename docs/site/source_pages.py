"""What the site adds to the pages of `docs/`: a page for each file of the project that one of them links to.

A link such as `[the driver](../training/driver.py)` leads to the file when the page is read in the repository. The site
holds only `docs/`. So a page `source/training/driver.py.md` with the file's text is made, and the link leads there.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")
LANGUAGES = {".py": "python", ".cpp": "cpp", ".md": "markdown", ".yml": "yaml", ".toml": "toml", ".jsonl": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make the pages that the links need."""
    made: set[str] = set()
    for file in list(files.documentation_pages()):
        for target in LINK.findall(file.content_string):
            for path in with_its_files(outside(file.src_uri, target)):
                if path not in made:
                    made.add(path)
                    files.append(File.generated(config, page_of(path), content=shown(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make the links lead to the pages that `on_files` made."""
    here = page.file.src_uri

    def rewritten(found: re.Match[str]) -> str:
        path = outside(here, found[1])
        return found[1] if path is None else posixpath.relpath(page_of(path), posixpath.dirname(here) or ".")

    return LINK.sub(rewritten, markdown)


def outside(page: str, target: str) -> str | None:
    """The path from the project's root of what a page links to, where that exists and lies outside `docs/`."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    if path.startswith(("../", "docs/")) or not (ROOT / path).exists():
        return None
    return path


def page_of(path: str) -> str:
    """Return the path of the page that shows a source file."""
    return f"source/{path}.md"


def with_its_files(path: str | None) -> Iterator[str]:
    """The path and, of a folder, the text files in it."""
    if path is None:
        return
    yield path
    if (ROOT / path).is_dir():
        yield from (f"{path}/{name}" for name in sorted(names_in(ROOT / path)) if (ROOT / path / name).is_file())


def names_in(folder: Path) -> list[str]:
    """Return the names of a folder's files that have pages, and of its folders."""
    return [entry.name for entry in folder.iterdir() if entry.suffix in (".py", ".md", ".txt") or entry.is_dir()]


def shown(path: Path) -> str:
    """A page with a file's text, or with a folder's list of files."""
    name = path.relative_to(ROOT).as_posix()
    front = f"---\ntitle: {name}\nsearch:\n  exclude: true\n---\n\n# `{name}`\n\n"
    if path.is_dir():
        entries = [name for name in sorted(names_in(path)) if name != "__pycache__"]
        files = {name for name in entries if (path / name).is_file()}
        listed = (f"- [`{name}`]({path.name}/{name}.md)" if name in files else f"- `{name}/`" for name in entries)
        return front + "\n".join(listed) + "\n"
    text = path.read_text()
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{front}{fence}{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"
