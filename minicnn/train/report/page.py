"""HTML by hand: a page, sections, tables, figures within the file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from minicnn.plots import Picture

# No script, no font, no picture from elsewhere: the file is the same in ten years.
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0072b2; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p.lead { margin: .2rem 0 1.4rem; opacity: .75; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; }
.tile { border: 1px solid var(--line); border-radius: .6rem; padding: .7rem 1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.2; color: var(--accent); }
.tile span { font-size: .85rem; opacity: .75; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
body { overflow-wrap: anywhere; }
tr.best td { background: var(--soft); font-weight: 600; }
.scroll + figure { margin-top: 1.2rem; }
figure { margin: 0; } figure img { max-width: 100%; height: auto; background: white; border-radius: .4rem; }
figcaption { font-size: .9rem; opacity: .75; margin-top: .3rem; }
pre, code { font: .88rem/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .4rem; white-space: pre-wrap; word-break: break-word; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 0 3rem; align-items: start; }
"""


def page(title: str, lead: str, parts: Iterable[str]) -> str:
    """A whole document. title and lead are plain text, parts HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def tiles(items: Iterable[tuple[str, str]]) -> str:
    """The few figures that matter: (value, what it is)."""
    inside = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in items
    )
    return f'<div class="tiles">{inside}</div>'


def section(heading: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], best: int | None = None) -> str:
    """best: the number of a row to set off."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        ('<tr class="best">' if number == best else "<tr>")
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(name: str, picture: Picture, caption: str, *, pixels: bool = False) -> str:
    """A figure within the page. pixels: as PNG, for photographs; otherwise as SVG, sharp at any size."""
    buffer = io.BytesIO()
    kind = "png" if pixels else "svg"
    options: dict[str, Any] = {"dpi": 130} if pixels else {"metadata": {"Date": None}}
    picture.savefig(buffer, format=kind, **options)
    content = base64.b64encode(buffer.getvalue()).decode()
    mime = "image/png" if pixels else "image/svg+xml"
    width = round(picture.get_size_inches()[0] * 96)
    return (
        f'<figure id="{escape(name)}"><img alt="{escape(caption)}" width="{width}" src="data:{mime};base64,{content}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def text(paragraph: str) -> str:
    return f"<p>{escape(paragraph)}</p>"


def code(content: str) -> str:
    return f"<pre>{escape(content)}</pre>"


def columns(*parts: str) -> str:
    return '<div class="two">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"
