"""report.html: every photo beside its result, those that failed first, a thousand on a page."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from .ledger import Ledger, Line

ON_A_PAGE = 1000

PAGE = """<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222 }}
h1 {{ font-size: 1.3rem }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }}
figure {{ margin: 0; padding: .5rem; border: 1px solid #ddd; border-radius: 4px; content-visibility: auto; contain-intrinsic-size: 15rem 10rem }}
figure.failed {{ border-color: #c00; background: #fff3f3 }}
img {{ width: 100% }}
figcaption {{ overflow-wrap: anywhere }}
small {{ color: #666 }} .failed small {{ color: #900 }}
</style>
<h1>{title}</h1>
<p>{total:,} photos, {failed:,} failed. Left the photo, right its result; click for the result in full size.</p>
<nav>{pages}</nav>
<main>
{figures}
</main>
<nav>{pages}</nav>
"""


def write_report(ledger: Ledger, thumbnail: Callable[[str], Path]) -> Path:
    """Writes report.html and, where there are more photos, its further pages; returns the first."""
    results, lines = ledger.results, ledger.lines()
    count = max(1, -(-ledger.done // ON_A_PAGE))
    files = [results / ("report.html" if page == 1 else f"report-{page}.html") for page in range(1, count + 1)]
    for number, file in enumerate(files, 1):
        links = " ".join(
            f"<b>{other}</b>" if other == number else f'<a href="{files[other - 1].name}">{other}</a>' for other in range(1, count + 1)
        )
        figures = "\n".join(figure(line, results, thumbnail) for line in itertools.islice(lines, ON_A_PAGE))
        text = PAGE.format(
            title=html.escape(results.name), total=ledger.done, failed=ledger.failed, pages=links if count > 1 else "", figures=figures
        )
        file.write_text(text, encoding="utf-8", errors="replace")
    return files[0]


def figure(line: Line, results: Path, thumbnail: Callable[[str], Path]) -> str:
    small = thumbnail(line["photo"])
    image = f'<img loading="lazy" src="{small.relative_to(results).as_posix()}" alt="">' if small.is_file() else ""
    if line["result"]:
        image = f'<a href="{PurePosixPath("/", line["result"]).as_uri().removeprefix("file:///")}">{image}</a>'
    said = line["error"] or f"{line['seconds']:.1f} s, {line['worker']}"
    kind = "failed" if line["error"] else "done"
    return f'<figure class="{kind}">{image}<figcaption>{html.escape(line["photo"])}<br><small>{html.escape(said)}</small></figcaption></figure>'
