"""How Sphinx builds the documentation: `make docs`. See docs/_extensions/, too."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "zoho-wizard"
author = "The zoho-wizard contributors"
copyright = f"2026, {author}"
version = release = version_of("zoho-wizard")

extensions = ["myst_parser", "directives"]
exclude_patterns = ["_extensions"]
# `colon_fence`: notes that contain code blocks; `deflist`: terms; `attrs_inline`: `{#anchor}`
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
nitpicky = True
smartquotes_action = "qe"  # quotes and ellipses; `--` begins an option

html_theme = "furo"
html_title = f"zoho-wizard {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sphinx = False
