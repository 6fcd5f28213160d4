"Key numbers that the saved outputs of pipeline notebooks show"
import json
import re
from io import StringIO

import pandas as pd
from conftest import ROOT


def saved_outputs(name):
    "Tables, and text, that a reader of a pipeline notebook sees"
    cells = json.loads((ROOT / "nbs" / "pipeline" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    tables, text = [], ""
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        text += "".join(output.get("text", ""))
        html = "".join(output.get("data", {}).get("text/html", ""))
        if "<table" not in html: continue
        table = pd.read_html(StringIO(html), index_col=0)[0]
        table.columns = table.columns.get_level_values(0)       # a second row names the index
        tables.append(table)
    return tables, text


def number_after(words, text): return float(re.search(words + r" ([\d.]+\d)", text)[1])


def key_numbers(name):
    "Name in metrics.json → the value that the saved outputs of a pipeline notebook show; empty where they show none"
    tables, text = saved_outputs(name)
    if name == "04_deepsdf": return {"surface_error_worst": number_after("surface error", text)}
    if name == "05_layer_probe": return {"mean_ari_all_layers": tables[0].loc["mean", "all_layers"]}
    if name == "06_visibility": return {"mean_ari_spectral": tables[0].ari.mean()}
    if name == "07_dino": return {f"mean_ari_{how}": tables[0].ARI[how] for how in ("kmeans", "ward", "argmax")}
    if name == "08_segment":
        return {f"ari_{how}": tables[0][how].astype(float).mean() for how in ("true_k", "auto", "prototypes")}
    if name == "09_edit": return {"chamfer": number_after("distance", text), "moved": tables[0].clamped["moved 0.05"]}
    return {}
