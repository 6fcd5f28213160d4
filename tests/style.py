"The rules of style that a program can check. `python tests/style.py nbs/api/core/files.ipynb ...` lists what breaks them"
import ast
import json
import re
import sys
from pathlib import Path

BANNED = [      # words that no user shall read; the plain ones stand in CONTRIBUTING
    r"by heart", r"own number", r"own k\b", r"told no", r"told none", r"number is told", r"best by truth",
    r"layer by truth", r"the design\b", r"design's", r"\bat once\b", r"sees? each other", r"agreement of what",
    r"head that attends", r"\bhollows?\b", r"the nine\b(?! probe)", r"halves of the categories", r"clean borders",
    r"\btidy", r"\bshatter", r"\bdisturbed\b", r"\bshaken\b", r"thinned out", r"no order is shown",
    r"nothing is shown", r"most people drew", r"\bexams?\b", r"\bscoreboard\b", r"\bpartwise\b",
    r"\bthe board\b", r"unseen compounds", r"scale-?lessly", r"\bdialect\b"]
BANNED_RE = re.compile("|".join(BANNED), re.IGNORECASE)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def source(cell): return "".join(cell["source"])


def is_exported(text): return bool(re.match(r"#\|\s*export", text))


def nested_comprehensions(tree):
    "Lines of comprehensions that hold another one"
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS):
            inner = [n for n in ast.walk(node) if n is not node and isinstance(n, COMPREHENSIONS)]
            if inner: yield node.lineno


def statement_tricks(tree):
    "Lines of expression statements that hide several steps: tuples of calls, `and`/`or`, conditional expressions"
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, (ast.Tuple, ast.BoolOp, ast.IfExp)):
            yield node.lineno


def long_functions(tree, most=40):
    "Functions of more than `most` lines of code, signature and docstring not counted"
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef): continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if body and body[-1].end_lineno - body[0].lineno + 1 > most: yield node.lineno, node.name


def undocumented(tree, text):
    "Public functions without a docstring, and parameters of theirs without a comment"
    lines = text.splitlines()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None: yield node.lineno, f"{node.name} has no docstring"
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"): continue
        for arg in node.args.args + node.args.kwonlyargs:
            helped = arg.annotation is not None and "Annotated" in ast.unparse(arg.annotation)
            if not helped and arg.arg not in ("self", "cls") and "#" not in lines[arg.lineno - 1]:
                yield arg.lineno, f"{node.name}: {arg.arg} has no comment"


def code_faults(text, exported):
    "What is wrong with a code cell, as (line, words)"
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > 100: yield number, f"{len(line)} characters"
    try: tree = ast.parse(text)
    except SyntaxError: return
    for line in nested_comprehensions(tree): yield line, "a comprehension in a comprehension"
    for line in statement_tricks(tree): yield line, "an expression statement that hides several steps"
    for line, name in long_functions(tree): yield line, f"{name} has more than 40 lines"
    if exported: yield from undocumented(tree, text)


def notebook_faults(path):
    "Everything that breaks a rule in one notebook, a line each"
    nb, api = json.loads(Path(path).read_text(encoding="utf-8")), "/api/" in Path(path).as_posix()
    cells, code = nb["cells"], [c for c in nb["cells"] if c["cell_type"] == "code"]
    most = 25 if "/pipeline/" in Path(path).as_posix() else 60
    if len(cells) > most: yield f"{len(cells)} cells, at most {most}"
    lines = sum(len(source(c).splitlines()) for c in code if is_exported(source(c)))
    if lines > 350: yield f"{lines} exported lines, at most 350"
    for cell in cells:
        text, where = source(cell), f"cell {cell['id']}"
        for hit in BANNED_RE.finditer(text):
            yield f"{where}: the words {hit.group(0)!r}"
        if cell["cell_type"] != "code": continue
        exported = is_exported(text)
        for line, words in code_faults(text, exported): yield f"{where}, line {line}: {words}"
        size = len(text.splitlines())
        if exported and size > 50: yield f"{where}: an exported cell of {size} lines, at most 50"
        tested = api and not exported and "assert" in text or "test_eq" in text
        if tested and size > 10: yield f"{where}: a test cell of {size} lines, at most 10 (longer ones go to tests/)"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for fault in notebook_faults(name): print(f"{name}: {fault}")
