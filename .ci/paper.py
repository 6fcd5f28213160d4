"paper/numbers.tex: every number that paper.tex names, from the scores saved in figures/"
import re
from pathlib import Path

from pandas import read_csv

from sdf_dino.evaluate.report import load_scores, paired_difference, saved_lines

root = Path(__file__).resolve().parents[1]
HEAD = r"""% Written by `make paper` from figures/. Do not edit.
\newcommand{\saved}[1]{\ifcsname saved@#1\endcsname\csname saved@#1\endcsname\else\errmessage{no number #1}\fi}
\newcommand{\num}[1]{\saved{num:#1}}
\newcommand{\spread}[1]{\saved{spread:#1}}
\newcommand{\difference}[1]{\saved{difference:#1}}
\newcommand{\category}[1]{\saved{category:#1}}
\newcommand{\unseen}[1]{\saved{unseen:#1}}
\newcommand{\feature}[1]{\saved{feature:#1}}
"""


def plain(value):
    "Three decimals without the leading zero"
    return f"{value:.3f}".replace("0.", ".", 1)


def score_line(lines, key):
    "The saved line of test:method:metric[:folder]"
    test, method, metric, *folder = key.split(":")
    wanted = (test, method, metric, folder[0] if folder else "")
    hits = [line for line in lines if (line["test"], line["method"], line["metric"], line.get("source", "")) == wanted]
    if len(hits) != 1: raise SystemExit(f"paper.tex: {key}: {len(hits)} saved scores")
    return hits[0]


def category_error(key):
    "The mean Rand-index error of method:category"
    method, category = key.split(":")
    scores = load_scores(root / "figures" / "scores_psb.csv")
    rows = scores[(scores.method == method) & (scores.category == category)]
    if rows.empty: raise SystemExit(f"paper.tex: {key}: no saved scores")
    return rows.rand_index_error.mean()


def feature_score(key):
    "A column of a feature, feature:column, in the table of features and positions"
    feature, column = key.split(":")
    return read_csv(root / "figures" / "naming" / "position.csv", index_col="feature").loc[feature, column]


def unseen_scores():
    "Scores on the 210 meshes of the benchmark on which no setting was chosen"
    scores = load_scores(root / "figures" / "scores_psb.csv")
    return scores[scores.id % 4 != 2]


def signed(found):
    "A paired difference and its standard error"
    return f"${round(found['difference'], 3) + 0:+.3f}\\pm{found['standard_error']:.3f}$".replace("0.", ".")


def text(kind, key, lines):
    "What stands in the paper for one command"
    if kind == "unseen": return signed(paired_difference(unseen_scores(), "rand_index_error", *key.split(":")))
    if kind == "category": return plain(category_error(key))
    if kind == "feature": return plain(feature_score(key))
    if kind == "difference":
        path, metric, method, other = key.split(":")
        return signed(paired_difference(load_scores(root / "figures" / path), metric, method, other))
    line = score_line(lines, key)
    if kind == "num" or line["seeds"] == 1: return plain(line["mean"])
    return f"{plain(line['mean'])}\\,$\\pm$\\,{plain(line['std'])}"


def numbers():
    "The whole file"
    lines = saved_lines(root / "figures")
    commands = re.findall(r"\\(num|spread|difference|category|unseen|feature)\{([^}]+)\}", (root / "paper" / "paper.tex").read_text(encoding="utf-8"))
    found = {f"{kind}:{key}": text(kind, key, lines) for kind, key in commands}
    entries = [f"\\expandafter\\def\\csname saved@{name}\\endcsname{{{value}}}" for name, value in sorted(found.items())]
    return HEAD + "\n".join(entries) + "\n"


if __name__ == "__main__":
    (root / "paper" / "numbers.tex").write_text(numbers(), encoding="utf-8")
