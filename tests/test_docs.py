"The site builds without a broken link, and the paper says what was measured"
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

root = Path(__file__).resolve().parents[1]
paper = (root / "paper" / "paper.tex").read_text(encoding="utf-8")


def script(name):
    "A script of .ci as a module"
    spec = importlib.util.spec_from_file_location(name, root / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(command): return set(re.findall(r"\\%s(?:\[[^]]*\])?\{([^}]+)\}" % command, paper))


def test_the_numbers_of_the_paper_are_the_saved_ones():
    written = (root / "paper" / "numbers.tex").read_text(encoding="utf-8")
    assert written == script("paper").numbers(), "stale: run make paper"


def test_no_score_in_the_paper_is_typed():
    body = paper.partition(r"\begin{document}")[2]
    body = re.sub(r"\[-\.45,\.45\]|width=[.\d]*", "", re.sub(r"\\(num|spread|difference|category)\{[^}]+\}", "", body))
    assert re.findall(r"\d*\.\d+", body) == []


def test_citations_references_and_figures_of_the_paper_exist():
    entries = (root / "paper" / "references.bib").read_text(encoding="utf-8")
    cited = {key for keys in named("cite") for key in keys.split(",")}
    assert cited == set(re.findall(r"^@\w+\{([^,]+),", entries, re.M))
    assert named("ref") <= named("label")
    assert all((root / "figures" / f"{name}.pdf").exists() for name in named("includegraphics"))


def unmatched(text):
    "What is wrong with braces and environments of LaTeX"
    text = re.sub(r"(?<!\\)%.*", "", text)
    open_ones = []
    for kind, name, brace in re.findall(r"\\(begin|end)\{(\w+\*?)\}|(?<!\\)([{}])", text):
        if kind == "begin" or brace == "{": open_ones.append(name or brace)
        elif not open_ones or open_ones.pop() != (name or "{"): return f"no start of {name or brace}"
    return f"no end of {open_ones[-1]}" if open_ones else None


def test_braces_and_environments_of_the_paper_match():
    assert unmatched(paper) is None
    assert unmatched(r"\begin{table} \end{table*}") and unmatched(r"\emph{a") and unmatched("}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
def test_the_paper_compiles(tmp_path):
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}", "paper.tex"]
    done = subprocess.run(command, cwd=root / "paper", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:]
    assert (tmp_path / "paper.pdf").stat().st_size > 50_000


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link():
    done = subprocess.run([sys.executable, root / ".ci" / "site.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = root / "_docs" / "html"
    for page in ("index", "use/commands", "use/quickstart", "learn/07_dino", "results/psb", "api/geometry/visibility", "faq"):
        assert (pages / f"{page}.html").stat().st_size > 10_000


def test_links_of_a_page_lead_within_the_site():
    site = script("site")
    page = "[a](results/psb.md#what-training-adds) `[b](x.md)` ![c](../figures/ladder.png) [d](../LICENSE) $x^2$"
    text = site.prepared(page, root / "docs" / "faq.md")
    assert "(results/psb.md#what-training-adds)" in text and "(figures/ladder.png)" in text
    assert "`[b](x.md)`" in text and f"({site.REPOSITORY}LICENSE)" in text and "<math" in text
    with pytest.raises(SystemExit, match="no such file"): site.prepared("[a](missing.md)", root / "docs" / "faq.md")


def test_a_page_leaves_out_what_lives_in_jupyter_alone():
    site = script("site")
    assert site.is_shown({"data": {"text/plain": "5 parts"}}) and not site.is_shown({"name": "stderr"})
    assert not site.is_shown({"data": {site.WIDGET: {}, "text/plain": "<k3d.plot.Plot object>"}})
