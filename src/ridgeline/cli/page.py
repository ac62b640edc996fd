"""`--plot` to .html: a page that needs no other file: the picture, the numbers, the line that makes them again."""

from __future__ import annotations

from html import escape

from ridgeline.cli.headline import ESTIMATE, FLOOR, headline
from ridgeline.cli.table import shown
from ridgeline.serving import Point

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto } code { background: #f4f4f4; padding: .15em .4em; border-radius: 3px }
table { border-collapse: collapse; font-size: 14px } td { padding: .15rem 1.2rem .15rem 0; border-top: 1px solid #eee }
td:nth-child(2) { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
"""


def page(found: Point, svg: str, again: str) -> str:
    """A page with a picture of a point and its numbers; `svg` is the text of the picture."""
    title, *rest = headline(found.scenario, found.subject)
    rows = "\n".join(
        f"<tr><td><code>{number.name}</code></td><td>{escape(shown(number.value, number.unit))}</td>"
        f"<td>{escape(number.text)}</td></tr>"
        for number in found.numbers.values()
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n<h1>Ridgeline</h1>\n<p>{escape(title)}<br>{'<br>'.join(map(escape, rest))}</p>\n"
        f"{svg[svg.index('<svg') :]}\n<p>{escape(ESTIMATE)}<br>{escape(FLOOR)}</p>\n"
        f"<p>Again: <code>{escape(again)}</code></p>\n"
        f"<table>\n{rows}\n</table>\n</html>\n"
    )
