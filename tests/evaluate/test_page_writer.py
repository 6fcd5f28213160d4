"Which pages are written, and what stands on them"
import pytest

from conftest import ROOT
from sdf_dino.evaluate.methods import METHODS
from sdf_dino.evaluate.naming import NAMING_METHODS
from sdf_dino.evaluate.page_writer import overview_markdown, page_markdown, pages_with_scores
from sdf_dino.evaluate.report import saved_lines
from sdf_dino.evaluate.result_pages import CONTROLS, FURNITURE_PAGE, PAGES, PSB_PAGE

FIGURES = ROOT / "figures"
KNOWN = {*METHODS, *NAMING_METHODS, "part_tokens"}


def line(test, method, mean):
    return {"test": test, "method": method, "metric": "ari", "mean": mean, "std": 0., "seeds": 1,
            "seconds_per_shape": 1., "shapes": 300, "shape_set": "a", "failed": 0, "source": ""}


def names(pages): return [page.name for page in pages]


def test_a_page_without_scores_is_left_out():
    assert pages_with_scores([]) == []
    assert names(pages_with_scores([line("compounds", "visibility", .9)])) == ["compounds"]


def test_furniture_has_a_page_when_its_lines_are_saved():
    lines = [line("furniture", "components", .7), line("furniture", "visibility", .8)]
    text = page_markdown(FURNITURE_PAGE, FIGURES, lines)
    assert text.index("| visibility ") < text.index("| components ") and "**0.800**" in text
    assert "(furniture.md)" in overview_markdown(lines)
    assert "(furniture.md)" not in overview_markdown([line("compounds", "visibility", .9)])


def test_what_training_adds_is_shown_under_equal_conditions():
    text = page_markdown(PSB_PAGE, FIGURES, saved_lines(FIGURES))
    section = text.split("## What training adds")[1].split("## ")[0]
    rows = [row.split("|")[1].strip() for row in section.splitlines() if row.startswith("| ")]
    assert [row for row in rows if row in CONTROLS][:len(CONTROLS)] == list(CONTROLS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_rows_of_a_page_are_known_methods(page):
    assert set(page.methods) <= KNOWN


def test_saved_scores_are_of_known_methods():
    saved = {line["method"].partition("@")[0] for line in saved_lines(FIGURES)}
    assert {method for method in saved if ":" not in method} <= KNOWN
