"""The Sphinx extension of the book: generated parts, anchors by name, and drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.book import pages

# Each directive makes an anchor and an entry of the index; the role of the same name links to it.
NAMED = {
    "check": "preflight check",
    "cause": "cause of an SSH failure",
    "errorclass": "error class",
    "pillar": "pillar key",
    "sls": "SLS",
}


class Generated(SphinxDirective):
    """Insert a generated part of the reference: ``.. generated:: exit-codes``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in pages.PAGES:
            raise self.error(f"no part is called {name}: {', '.join(pages.PAGES)}")
        for path in (Path(pages.__file__), pages.SCHEMA):
            self.env.note_dependency(str(path))
        # The code is many files: a page that shows it is read again in each build.
        self.env.note_reread()
        parsed: list[nodes.Node] = self.parse_text_to_nodes(
            pages.PAGES[name](), allow_section_headings=True
        )
        return parsed


class Drawing(SphinxDirective):
    """Insert an SVG file into the page, so that its colors follow the page's light or dark mode."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        text = Path(path).read_text(encoding="utf-8")
        svg = text[text.index("<svg") :]
        shown = f'<figure class="drawing">{svg}</figure>'
        alt = self.options.get("alt", "")
        return [
            nodes.raw("", shown, format="html"),
            # Other formats than HTML have no SVG in the text.
            nodes.raw("", alt, format="latex text man"),
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the kinds of names."""
    app.add_directive("generated", Generated)
    app.add_directive("drawing", Drawing)
    for name, title in NAMED.items():
        app.add_object_type(name, name, indextemplate=f"pair: %s; {title}", objname=title)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
