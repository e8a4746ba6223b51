from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from matplotlib.figure import Figure

from eegdecode.reporting.comparison.page import (
    Bullets,
    Code,
    Folded,
    Heading,
    Paragraph,
    Picture,
    Table,
    to_html,
    to_markdown,
)
from eegdecode.reporting.style import save

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> list[tuple[str, dict]]:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker.seen


def blocks(folder: Path) -> list:
    figure = Figure(figsize=(2, 1))
    return [
        Heading("A < B", level=1),
        Paragraph("**bold** and `a_b <c>` and [cell](../x%20y)"),
        Bullets(["one", "two"]),
        Heading("Part two"),
        Table(["model", "score"], [["a|b", "[1 ± 2](x)"]], "what"),
        Picture(save(figure, folder / "a.png"), "caption", 'seen: "a"'),
        Folded("more", [Code("x < 1"), Paragraph("y")]),
    ]


def test_a_page_is_whole_and_needs_nothing_beside_itself(tmp_path: Path) -> None:
    page = to_html(blocks(tmp_path), "A < B")
    seen = check(page)
    (image,) = [attrs for tag, attrs in seen if tag == "img"]
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"] == 'seen: "a"'
    assert image["width"] == str(300 * 96 // 150)
    assert not {"script", "link"} & {tag for tag, _ in seen}
    assert [attrs["href"] for tag, attrs in seen if tag == "a"] == ["#part-two", "../x%20y", "x"]
    assert "<strong>bold</strong> and <code>a_b &lt;c&gt;</code>" in page
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in seen


def test_markdown_of_the_same_blocks(tmp_path: Path) -> None:
    text = to_markdown(blocks(tmp_path), tmp_path)
    assert text.startswith("# A < B\n\n**bold**")
    assert "| model | score |\n| --- | ---: |\n| a\\|b | [1 ± 2](x) |\n\n*what*" in text
    assert '![seen: "a"](a.png)' in text
    assert "<details><summary>more</summary>\n\n```\nx < 1\n```" in text
