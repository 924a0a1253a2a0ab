"""Sphinx's configuration. The sources are staged by ``python -m book``, which also names this folder."""

import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from book import docstrings  # noqa: E402

MATHJAX = "tex-svg.js"
"""One file that holds its fonts, so that it works from a folder too, where a browser may refuse fonts beside it."""

project = "Robust deep learning"
html_title = "Robust deep learning, reproducibly"
author = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["authors"][0]["name"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["files/**", "_extra/**"]
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
bibtex_bibfiles = [str(ROOT / "docs" / "sources.bib")]
bibtex_default_style = "plain"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 88
copybutton_exclude = ".linenos, .gp, .go"
mathjax_path = f"mathjax/{MATHJAX}"
mathjax4_config: dict[str, Any] = {"options": {"enableMenu": False}}
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
html_show_search_summary = False  # summaries are fetched, which a browser refuses in a folder
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
templates_path: list[str] = []


def copy_mathjax(app: Any) -> list[Any]:
    """Copy MathJax and its licence out of its package into the site, before pages are written."""
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    package = files("mathjax") / "static" / "mathjax"
    for source in (package / "es5" / MATHJAX, package / "LICENSE"):
        (target / source.name).write_bytes(source.read_bytes())
    return []


def setup(app: Any) -> dict[str, bool]:
    """Enter what this site does besides."""
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("autodoc-skip-member", docstrings.foreign)
    app.connect("html-collect-pages", copy_mathjax)
    app.config.html_static_path.append(str(Path(app.srcdir) / "_static"))
    app.config.html_extra_path.append(str(Path(app.srcdir) / "_extra"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
