"README.md from nbs/index.ipynb, by nbdev's own cell filters and nbconvert (nbdev_readme wants quarto, which no registry has)"
import json
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics, filter_stream_, hide_, hide_line, rm_export, rm_header_dash, strip_ansi

root = Path(__file__).resolve().parents[1]


def shown(cell):
    "A cell that says `#| echo: false` shows its Markdown output alone"
    if "#| echo: false" not in cell.source: return cell
    text = "".join("".join(o["data"].get("text/markdown", "")) for o in cell.outputs if "data" in o)
    return nbformat.v4.new_markdown_cell(text)


def readme(notebook):
    "The Markdown of a notebook, as GitHub shall show it"
    proc = NBProcessor(notebook, [strip_ansi, hide_line, filter_stream_, rm_header_dash, rm_export, clean_magics, hide_])
    proc.process()
    nb = nbformat.from_dict(json.loads(json.dumps(proc.nb)))
    nb.metadata["language_info"] = {"name": "python"}
    nb.cells = [shown(c) for c in nb.cells if c.source.strip()]
    text = MarkdownExporter().from_notebook_node(nb)[0].replace("](../", "](").replace('src="../', 'src="')
    note = "<!-- Generated from nbs/index.ipynb by `make readme`. Edit the notebook. -->\n\n"
    return note + "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else root / "README.md").write_text(readme(root / "nbs" / "index.ipynb"), encoding="utf-8")
