"The documentation site: README, docs/, the notebooks and the commands as Markdown, built by mkdocs into _docs/html"
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from latex2mathml.converter import convert
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi
from typer.cli import get_docs_for_click
from typer.main import get_command

from sdf_dino.cli.main import load_app

root = Path(__file__).resolve().parents[1]
source = root / "_docs" / "source"
SHELVES = {"tutorials": "use", "pipeline": "learn", "experiments": "learn/experiments", "api": "api"}
WIDGET = "application/vnd.jupyter.widget-view+json"
HIDDEN = ("#| hide", "#| default_exp")
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.S)
LINK = re.compile(r'(?<=\]\()[^)\s]+(?=\))|(?<=src=")[^"]+(?=")')
FORMULA = re.compile(r"(\${1,2})([^$]+?)\1", re.S)
REPOSITORY = "https://github.com/sdf-dino/sdf_dino/blob/main/"


def site_path(path):
    "Where a file of the repository lies on the site; None if it is not part of it"
    path = path.relative_to(root)
    if path.as_posix() in ("README.md", "nbs/index.ipynb"): return Path("index.md")
    if path.parts[0] == "figures": return path
    if path.suffix == ".md" and len(path.parts) == 1: return Path("about") / path.name.lower()
    if path.parts[0] == "docs" and path.suffix == ".md": return Path(*path.parts[1:])
    if path.parts[0] == "nbs" and path.suffix == ".ipynb":
        return Path(SHELVES[path.parts[1]], *path.parts[2:]).with_suffix(".md")
    return None


def mathml(match):
    "A formula in LaTeX as MathML, which needs no script in the browser"
    if match[1] == "$": return convert(match[2].strip(), "inline")
    return f'<span class="formula">{convert(match[2].strip(), "block")}</span>'


def prepared(text, origin):
    "Markdown of the repository for the site: links lead within it, formulas are MathML"
    def target(link):
        place, _, anchor = link.partition("#")
        if not place or re.match(r"[a-z]+:", link): return link
        path = (origin.parent / place).resolve()
        if not path.exists(): raise SystemExit(f"{origin}: {link}: no such file")
        if path.is_dir(): path = path / "index.md"
        page = site_path(path) if path.name != "index.md" else section_page(path.parent)
        if page is None: return REPOSITORY + path.relative_to(root).as_posix()
        relative = os.path.relpath(source / page, (source / site_path(origin)).parent)
        return Path(relative).as_posix() + ("#" + anchor if anchor else "")
    def prose(part): return FORMULA.sub(mathml, LINK.sub(lambda m: target(m[0]), part))
    parts = CODE.split(text)                                   # prose and code in turn
    return "".join(part if i % 2 else prose(part) for i, part in enumerate(parts))


def section_page(folder):
    "The first page of a folder"
    parts = folder.relative_to(root).parts
    if parts[:1] == ("docs",): return Path(*parts[1:], "index.md")
    return Path(SHELVES[parts[1]], "index.md")


def write(page, text):
    "A page of the site"
    path = source / page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def signatures(code):
    "The public definitions of a cell: each up to its docstring, comments on parameters kept"
    lines, found = code.splitlines(), []
    for node in ast.parse(code).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"): continue
        has_doc = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
        end = node.body[0].end_lineno if has_doc else node.body[0].lineno - 1
        found.append((node.name, "\n".join(lines[node.lineno - 1:end])))
    return found


def folded(title, code):
    "Code that opens at a click"
    lines = ["```python", *code.splitlines(), "```"]
    return f'??? quote "{title}"\n\n' + "\n".join("    " + line for line in lines)


def is_setup(cell):
    "Whether a cell begins with imports and shows nothing"
    return cell.source.startswith(("import ", "from ")) and not cell.outputs


def exported_cell(code):
    "What a reader sees of an exported cell: signatures, and the source folded"
    code = "\n".join(line for line in code.splitlines() if not line.startswith("#|")).strip()
    if not code or all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.parse(code).body): return ""
    parts = [f"#### {name}\n\n```python\n{text}\n```" for name, text in signatures(code)]
    return "\n\n".join([*parts, folded("Source", code)])


def is_shown(output):
    "Whether a page can show an output: no warnings, and nothing that lives in Jupyter alone"
    return output.get("name") != "stderr" and WIDGET not in output.get("data", {})


def page_cells(nb, path):
    "The cells of a notebook as the site shows them"
    for cell in nb.cells:
        if cell.cell_type == "markdown": cell.source = prepared(cell.source, path)
        if cell.cell_type == "code":
            if cell.source.startswith(HIDDEN) or "nbdev_export()" in cell.source: continue
            if is_setup(cell): cell = nbformat.v4.new_markdown_cell(folded("Imports", cell.source))
            elif "#| export" in cell.source:
                cell = nbformat.v4.new_markdown_cell(exported_cell(cell.source))
            else:
                cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("#|"))
                cell.outputs = list(filter(is_shown, cell.outputs))
        if cell.source.strip(): yield cell


def notebook_page(path):
    "A notebook as a page, its pictures beside it"
    nb = nbformat.read(path, as_version=4)
    nb.cells = list(page_cells(nb, path))
    nb.metadata["language_info"] = {"name": "python"}
    page = site_path(path)
    name = page.stem + "_files"
    text, resources = MarkdownExporter().from_notebook_node(nb, {"output_files_dir": name, "unique_key": page.stem})
    for file, data in resources["outputs"].items():
        picture = source / page.parent / file
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(data)
    write(page, strip_ansi(text))
    return page, nb


def title_and_sentence(nb):
    "The heading of a notebook and the sentence below it"
    text = nb.cells[0].source
    title = re.search(r"^# (.+)$", text, re.M)
    sentence = re.search(r"^> (.+)$", text, re.M)
    return title[1] if title else "", sentence[1] if sentence else ""


def index_page(shelf, heading, notebooks):
    "The list of the notebooks of a shelf"
    lines = [f"# {heading}", "", "| | |", "|---|---|"]
    folder = SHELVES[shelf]
    for page, nb in notebooks:
        title, sentence = title_and_sentence(nb)
        lines.append(f"| [{title or page.stem}]({os.path.relpath(page, folder)}) | {sentence} |")
    write(Path(folder, "index.md"), "\n".join(lines) + "\n")


def commands_page():
    "The help of every command"
    command = get_command(load_app())
    with command.make_context("sdf_dino", [], resilient_parsing=True) as context:
        text = get_docs_for_click(obj=command, ctx=context, name="sdf_dino")
    write(Path("use", "commands.md"), text.replace("# `sdf_dino`", "# Commands", 1))


def collect():
    "Every page of the site"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "figures", source / "figures", ignore=shutil.ignore_patterns("*.csv", "*.json"))
    for path in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        write(site_path(path), prepared(path.read_text(encoding="utf-8"), path))
    headings = {"tutorials": "Tutorials", "pipeline": "From shapes to parts, in eleven notebooks",
                "experiments": "Experiments", "api": "Reference"}
    for shelf, heading in headings.items():
        paths = sorted((root / "nbs" / shelf).rglob("*.ipynb"), key=lambda p: (p.stem != "quickstart", p))
        index_page(shelf, heading, [notebook_page(p) for p in paths if ".ipynb_checkpoints" not in p.parts])
    shutil.copy(root / "docs" / "site.css", source)
    commands_page()


def navigation():
    "The settings of mkdocs with the pages in the order in which one reads them"
    def pages(folder, *first):
        found = sorted(p.relative_to(source).as_posix() for p in (source / folder).glob("*.md"))
        return [*first, *(p for p in found if p not in first)]
    packages = ["core", "geometry", "data", "field", "distill", "parts", "evaluate", "cli"]
    nav = [
        {"Use": ["index.md", *pages("use", "use/index.md", "use/quickstart.md"), "view.md", "performance.md", "faq.md"]},
        {"Learn": [*pages("learn", "learn/index.md"), {"Experiments": pages("learn/experiments")},
                   "glossary.md"]},
        {"Results": pages("results", "results/index.md")},
        {"API": ["api/index.md", *({name: pages(f"api/{name}")} for name in packages)]},
        {"About": pages("about", "about/contributing.md")}]
    settings = {"INHERIT": "../docs/mkdocs.yml", "docs_dir": "source", "site_dir": "html", "nav": nav}
    path = source.parent / "mkdocs.yml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


if __name__ == "__main__":
    collect()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", navigation()]
    sys.exit(subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode)
