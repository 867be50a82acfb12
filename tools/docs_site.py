"""Hooks of MkDocs (mkdocs.yml), so that one text serves as a file of the repository and as a page of the site.

Some pages lie beside the code that they describe, not in docs/. Links are written as the repository needs them; here
those to pages become links of the site, and those to other files of the repository become their names.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "core/README.md",
    "core/engine/README.md",
)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?https?:|<link[^>]*rel=["']?(?:stylesheet|preconnect|preload)"""
)
ELSEWHERE = re.compile(r"""href=["']?https?:""")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, and the mark of the studio."""
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "images/mark.svg", abs_src_path=str(ROOT / "api/web/studio/mark.svg")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the repository's links into the site's. Raises PluginError for a link to a file that does not exist."""
    uri = page.file.src_uri
    here = (ROOT if uri in OUTSIDE else Path(config.docs_dir)) / uri

    def on_site(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if re.match(r"\w+:", target):
            return link[0]
        path = Path(os.path.normpath(here.parent / target))
        if path.is_dir() and (path / "README.md").exists():
            path /= "README.md"
        if not path.exists():
            raise PluginError(f"{uri}: a link to {target}, which does not exist")
        inside = path.relative_to(config.docs_dir if path.is_relative_to(config.docs_dir) else ROOT).as_posix()
        if files.get_file_from_path(inside) is None:
            named = text.strip("`").rstrip("/") in inside
            return f"`{inside}`" if named else f"{text} (`{inside}`)"
        return f"[{text}]({os.path.relpath(inside, Path(uri).parent)}{anchor})"

    return LINK.sub(on_site, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001  MkDocs passes it by name
    """Raise PluginError if a page would load something from another server."""
    for tag in LOADED.findall(output):
        if ELSEWHERE.search(tag) or "src=" in tag:
            raise PluginError(f"{page.file.src_uri} loads from another server: {tag}")
    return output
