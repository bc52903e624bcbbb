"""Owns how Sphinx makes the documentation site from docs/ (`make docs`). The pages can be read without it too."""

import re
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent

project = "Sessions for Tornado"
author = "the authors of tornado-express-sessions"
project_copyright = author
version = release = version_of("tornado-express-sessions")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["**/.*", "**/node_modules"]
nitpicky = True
smartquotes = False  # what is in quotes is mostly a value
show_warning_types = True

# ---- Markdown: the name of a heading in a link is the one that GitHub makes, so that links work in a checkout too.
myst_heading_anchors = 4
myst_links_external_new_tab = False

# ---- Docstrings have names in single backticks, as Markdown has them.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_use_type_comments = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
nitpick_ignore_regex = [
    (r"py:.*", rf"{package}\..*")  # of others: their pages are not read, as that would need a network
    for package in (
        "collections", "contextlib", "datetime", "pathlib", "os", "tornado", "prometheus_client", "opentelemetry"
    )
] + [
    (r"py:.*", rf"(sessions\..*\.)?{name}")  # only in signatures: nobody imports it
    for name in (
        "Absent", "Future", "Job", "JobT", "Jar", "Keyring", "Keys", "Observer", "OpenableStore", "Result", "Secrets",
        "SessionState", "Shape", "StoredCookie", "Table", "TracebackType", "Verbs",
    )
]  # fmt: skip

# ---- The look. Nothing comes from another host, so that the site works from a folder.
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # it is fetched, and a browser fetches nothing for a page that is a file
html_static_path = ["_static"]
html_css_files = ["site.css"]

ABOVE = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "reporting": "SECURITY.md",
    "index": "README.md",
}
"""Pages of the site that show a file at the top of the project; the first page only takes the place of one."""


def read_from_above(app: Sphinx, docname: str, source: list[str]) -> None:
    """Show a file of the top as a page, and let links to such files lead to their pages.

    A link to another file that is no page becomes a download of Sphinx, as in every page.
    """
    if docname in ABOVE and docname != "index":
        app.env.note_dependency(str(ROOT / ABOVE[docname]))
        text = (ROOT / ABOVE[docname]).read_text("utf-8")
        text = re.sub(r"\]\((?![a-z]+:|#|docs/)", "](../", text)
        source[0] = text.replace("](docs/", "](")
    up = "../" * docname.count("/")
    for page, name in ABOVE.items():
        source[0] = source[0].replace(f"]({up}../{name}", f"]({up}{page}.md")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above to Sphinx, which calls this."""
    app.connect("source-read", read_from_above)
    return {"parallel_read_safe": True}
