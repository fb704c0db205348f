"""Line charts side by side as one SVG file that stands alone and is readable in light and in dark mode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from reverie.report.axes import Scale, extent, labels, ticks

WIDTH, HEIGHT, GAP = 380, 300, 24
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 62, 48
LEGEND = 34
STYLE = """
svg { --paper: #fcfbf8; --ink: #1f2328; --soft: #5b6068; --rule: #dedad2; font: 12px system-ui, sans-serif;
  --s0: #2f5d8a; --s1: #b4541a; --s2: #3f7d4e; --s3: #7a4f9a; }
@media (prefers-color-scheme: dark) { svg { --paper: #16181c; --ink: #e6e4df; --soft: #a2a5ab; --rule: #343840;
  --s0: #86b6e3; --s1: #f0a066; --s2: #8fcf9c; --s3: #c5a1e3; } }
.paper { fill: var(--paper); } text { fill: var(--soft); } .name { font-weight: 600; }
.title { fill: var(--ink); font-size: 14px; font-weight: 600; }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); stroke-dasharray: 6 4; }
.s2 { stroke: var(--s2); stroke-dasharray: 2 3; } .s3 { stroke: var(--s3); stroke-dasharray: 8 3 2 3; }
.n0 { fill: var(--s0); } .n1 { fill: var(--s1); } .n2 { fill: var(--s2); } .n3 { fill: var(--s3); }
"""


@dataclass(frozen=True)
class Panel:
    """One chart: name -> points, in the order of their colours; ``logarithmic`` is about the x axis."""

    title: str
    subtitle: str
    across: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    colours: Mapping[str, int]
    logarithmic: bool = False

    def svg(self) -> str:
        """The chart in a box of WIDTH × HEIGHT."""
        xs = [x for points in self.lines.values() for x, _ in points]
        ys = [y for points in self.lines.values() for _, y in points]
        across = Scale(*self._span(xs), LEFT, WIDTH - RIGHT)
        up = Scale(*extent(ys), HEIGHT - BOTTOM, TOP)
        middle = (LEFT + WIDTH - RIGHT) / 2
        words = [
            f"<text class='title' x='8' y='22'>{escape(self.title)}</text>",
            f"<text x='8' y='42'>{escape(self.subtitle)}</text>",
            f"<text x='{middle}' y='{HEIGHT - 10}' text-anchor='middle'>{escape(self.across)}</text>",
        ]
        return "\n".join([*words, *_rows(up), *self._columns(across), *self._drawn(across, up)])

    def _span(self, xs: Sequence[float]) -> tuple[float, float]:
        return self._x(min(xs)), self._x(max(xs))

    def _x(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _columns(self, across: Scale) -> list[str]:
        places = ticks(across.low, across.high, 6, whole=True)
        texts = [f"{10**place:,.0f}" for place in places] if self.logarithmic else labels(places)
        y = HEIGHT - BOTTOM
        return [f"<path class='axis' d='M{LEFT} {y}H{WIDTH - RIGHT}'/>"] + [
            f"<path class='axis' d='M{across(place):g} {y}v4'/>"
            f"<text x='{across(place):g}' y='{y + 18}' text-anchor='middle'>{text}</text>"
            for place, text in zip(places, texts, strict=True)
        ]

    def _drawn(self, across: Scale, up: Scale) -> list[str]:
        paths = {name: "L".join(f"{across(self._x(x)):g} {up(y):g}" for x, y in at) for name, at in self.lines.items()}
        return [f"<path class='line s{self.colours[name]}' d='M{path}'/>" for name, path in paths.items()]


def _rows(up: Scale) -> list[str]:
    places = ticks(up.low, up.high, 6)
    return [
        f"<path class='grid' d='M{LEFT} {up(place):g}H{WIDTH - RIGHT}'/>"
        f"<text x='{LEFT - 6}' y='{up(place) + 4:g}' text-anchor='end'>{text}</text>"
        for place, text in zip(places, labels(places), strict=True)
    ]


def figure(panels: Sequence[Panel], description: str) -> str:
    """The panels side by side under one legend, with a description for readers who do not see them."""
    width, height = len(panels) * (WIDTH + GAP) - GAP + 16, HEIGHT + LEGEND
    boxes = [
        f"<g transform='translate({8 + k * (WIDTH + GAP)} {LEGEND})'>\n{p.svg()}\n</g>" for k, p in enumerate(panels)
    ]
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' role='img'>",
            f"<title>{escape(description)}</title><style>{STYLE}</style>",
            f"<rect class='paper' width='{width}' height='{height}' rx='6'/>",
            *_legend(panels[0].colours),
            *boxes,
            "</svg>\n",
        ]
    )


def _legend(colours: Mapping[str, int]) -> list[str]:
    return [
        f"<path class='line s{colour}' d='M{16 + 110 * place} 22h30'/>"
        f"<text class='name n{colour}' x='{52 + 110 * place}' y='26'>{escape(name)}</text>"
        for place, (name, colour) in enumerate(colours.items())
    ]
