"""MkDocs hook: adds the repository's own pages to the site, and points links between pages to where they are there."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SITE_PATHS = {  # of pages and linked files that are kept outside docs/
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{path: path for path in ("CITATION.cff", "LICENSE", "examples/quickstart.ipynb")},
    **{str(page.relative_to(ROOT)): str(page.relative_to(ROOT)) for page in (ROOT / "results").glob("*.md")},
}
REPOSITORY_PATHS = {on_site: path for path, on_site in SITE_PATHS.items()}
RELATIVE_LINK = re.compile(r'(?<=\]\()(?!\w+:|#)[^)#\s]+|(?<=src=")(?!\w+:)[^"]+')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the files they link to, that are kept outside `docs/`."""
    for path, on_site in SITE_PATHS.items():
        files.append(File.generated(config, on_site, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite links, which are relative to a page's place in the repository, for its place on the site."""
    on_site = page.file.src_uri
    directory = posixpath.dirname(REPOSITORY_PATHS.get(on_site, f"docs/{on_site}"))

    def rewrite(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(directory, link[0]))
        target = SITE_PATHS.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(on_site) or ".")

    return RELATIVE_LINK.sub(rewrite, markdown)
