"""A report as blocks, written as Markdown and as one HTML page that needs nothing beside itself.

Text is a small part of Markdown: ``**bold**``, `code` in backticks and ``[name](target)``.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eegdecode.reporting.markdown import markdown_table
from eegdecode.reporting.style import DPI


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Text; ``anchor`` is a name that links lead to."""

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Table:
    """A table; the first column is of names, the others of numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True)
class Picture:
    """A PNG file; ``alt`` says what is seen to those who do not see it."""

    path: Path
    caption: str
    alt: str


@dataclass(frozen=True)
class Folded:
    """Blocks that open on a click."""

    summary: str
    blocks: Sequence[Block]


Block = Heading | Paragraph | Bullets | Code | Table | Picture | Folded

_CSS = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 78rem; background: #fff; color: #222;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
p, li, figcaption, caption { max-width: 42rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { margin-top: 2.5rem; font-size: 1.25rem; } h3 { font-size: 1.05rem; }
a { color: #0064a0; } code { font-size: .9em; overflow-wrap: anywhere; }
pre { padding: .6rem; background: #f5f5f5; white-space: pre-wrap; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; padding-top: .5rem; text-align: left; color: #555; font-size: .85rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; white-space: normal; }
th:first-child { position: sticky; left: 0; background: #fff; text-align: left; }
figure { display: inline-block; vertical-align: top; margin: 1.2rem .5rem 0 0; max-width: min(100%, 30rem); }
figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .85rem; }
details { margin: 1rem 0; } summary { cursor: pointer; color: #0064a0; }
nav ul { padding-left: 1.2rem; }
@media (max-width: 40rem) { body { padding: .7rem; } th:first-child { min-width: 6.5rem; max-width: 9rem;
  overflow-wrap: break-word; white-space: normal; }
  caption { position: sticky; left: 0; max-width: calc(100vw - 2.6rem); } }
"""


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """Write the blocks as Markdown; pictures are linked relative to `folder`."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _markdown(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text, anchor):
            return (f'<a id="{anchor}"></a>' if anchor else "") + text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Code(text):
            return f"```\n{text}\n```"
        case Table(head, rows, caption):
            table = markdown_table(head, rows)
            return f"{table}\n\n*{caption}*" if caption else table
        case Picture(path, caption, alt):
            return f"![{alt}]({path.relative_to(folder).as_posix()})\n\n*{caption}*"
        case Folded(summary, blocks):
            inner = "\n\n".join(_markdown(each, folder) for each in blocks)
            return f"<details><summary>{html.escape(summary)}</summary>\n\n{inner}\n\n</details>"


def to_html(blocks: Sequence[Block], title: str) -> str:
    """Write the blocks as one page: pictures inside, no script, readable offline and on a phone."""
    parts = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    items = "".join(f'<li><a href="#{_anchor(text)}">{html.escape(text)}</a></li>' for text in parts)
    first, rest = blocks[:1], blocks[1:]
    body = "\n".join([*map(_html, first), f"<nav><ul>{items}</ul></nav>", *map(_html, rest)])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_CSS}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level} id="{_anchor(text)}">{_inline(text)}</h{level}>'
        case Paragraph(text, anchor):
            return (f'<p id="{anchor}">' if anchor else "<p>") + f"{_inline(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case Code(text):
            return f"<pre><code>{html.escape(text)}</code></pre>"
        case Table(head, rows, caption):
            top = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head)
            body = "".join(
                f'<tr><th scope="row">{_inline(name)}</th>' + "".join(f"<td>{_inline(cell)}</td>" for cell in cells)
                + "</tr>"
                for name, *cells in rows
            )    # fmt: skip
            told = f"<caption>{_inline(caption)}</caption>" if caption else ""
            table = f"<table>{told}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
            return f'<div class="scroll" tabindex="0">{table}</div>'
        case Picture(path, caption, alt):
            data = path.read_bytes()
            width = int.from_bytes(data[16:20], "big") * 96 // DPI    # of the PNG's header, in CSS pixels
            source = "data:image/png;base64," + base64.b64encode(data).decode()
            image = f'<img src="{source}" width="{width}" alt="{html.escape(alt)}">'
            return f"<figure>{image}<figcaption>{_inline(caption)}</figcaption></figure>"
        case Folded(summary, blocks):
            inner = "\n".join(map(_html, blocks))
            return f"<details><summary>{html.escape(summary)}</summary>\n{inner}\n</details>"


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", lambda m: f'<a href="{m[2].replace(chr(34), "%22")}">{m[1]}</a>', text)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)


def _anchor(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")
