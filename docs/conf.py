"""Sphinx configuration of the book; ``docs/requirements.txt`` pins what it needs."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The generated parts import the domain of the library, which needs the standard library only.
sys.path[:0] = [str(ROOT), str(ROOT / "salt" / "_utils")]
LIBRARY = ROOT / "salt" / "_utils" / "metalk8s_expand" / "__init__.py"

project = "metalk8s-expand"
author = "the metalk8s-expand authors"
project_copyright = author
release = re.search(r'__version__ = "([^"]+)"', LIBRARY.read_text(encoding="utf-8"))[1]
version = release

extensions = ["docs.book.extension"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"
smartquotes = False

html_theme = "furo"
html_title = f"metalk8s-expand {release}"
html_show_copyright = False
html_show_sourcelink = False
# The book is read from a directory, without a server.
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["book.css"]
# The signatures of runner functions are long: one argument a line.
maximum_signature_line_length = 70
add_module_names = False
