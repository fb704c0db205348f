"""The documents: links that lead somewhere, tables that are filled, no place left to be filled in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_be_filled_in(page):
    text = page.read_text()
    assert "@@" not in text
    for name, table in re.findall(r"<!-- begin (\w+) -->(.*?)<!-- end \1 -->", text, re.DOTALL):
        assert table.strip(), f"the table of {name} is empty"


def test_every_model_has_its_page():
    from reverie import registry

    for name in registry.names():
        assert (ROOT / "docs" / "models" / f"{name}.md").is_file()
