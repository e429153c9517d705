"""The documentation site: these pages, and the docstrings. `make docs` builds it; a warning is an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import mmt

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "mmt"
author = copyright = "The mmt developers"
version = release = mmt.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "mmt"
myst_heading_anchors = 3

# Docstrings are NumPy's; types stand in signatures, short ones.
napoleon_google_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_type_aliases = {"IntArray": "ndarray"}
python_use_unqualified_type_names = True


def setup(app: Sphinx) -> None:
    """Pages that lie outside this folder are given as they are: a link to one is a download, as to any other file."""
    app.connect(
        "source-read",
        lambda _, __, text: text.__setitem__(0, re.sub(r"\]\((\.\./[^)#]+\.md)\)", r"](path:\1)", text[0])),
    )
