"""An SVG of boxes, words and arrows, in colours for light and for dark.

A text that does not fit into its place is an error, and so is one that a line or the edge of a box
crosses: nothing is cut or overlaps. Fonts differ from machine to machine, so widths are those of a
wide one.
"""

from html import escape

WIDTH = 680  # pixels; a picture is shown at its own size
# Widths of a character, as parts of the font's size.
SANS, BOLD, MONO = 0.52, 0.57, 0.61
SIZE, SMALL = 14, 13  # pixels
# (fill, edge) of a box, first in light, then in dark. The edge is also the colour of an arrow.
COLOURS = {
    "alice": ("#dbeafe", "#1d4ed8", "#132f5c", "#79b8ff"),
    "bob": ("#fef3c7", "#92400e", "#3d2c05", "#f0b849"),
    "carol": ("#dcfce7", "#166534", "#0f3320", "#6fdc8c"),
    "plain": ("#f3f4f6", "#57606a", "#21262d", "#9da7b3"),
    "empty": ("none", "#57606a", "none", "#9da7b3"),
    "gone": ("url(#gone)", "#57606a", "url(#gone)", "#9da7b3"),
}
PAPER, INK, FAINT = ("#ffffff", "#0d1117"), ("#1f2328", "#e6edf3"), ("#57606a", "#9da7b3")


def style():
    lines = [[], []]
    for mode in (0, 1):
        for name, colours in COLOURS.items():
            fill, edge = colours[2 * mode:2 * mode + 2]
            lines[mode].append(f".{name}{{fill:{fill};stroke:{edge}}}")
        lines[mode].append(f".paper{{fill:{PAPER[mode]};stroke:{FAINT[mode]}}}text{{fill:{INK[mode]}}}"
                           f".faint{{fill:{FAINT[mode]}}}.line{{stroke:{FAINT[mode]}}}"
                           f".head{{fill:{FAINT[mode]}}}")
    light, dark = ("".join(part) for part in lines)
    return (f"text{{font:{SIZE}px 'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif}}"
            f".small{{font-size:{SMALL}px}}.bold{{font-weight:bold}}"
            ".code{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
            f"font-size:{SMALL}px}}.line{{fill:none;stroke-width:1.5}}.dash{{stroke-dasharray:4 3}}"
            f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}")


def table(head, *rows):
    """A table in Markdown: a picture in words."""
    line = lambda cells: "| " + " | ".join(map(str, cells)) + " |"  # noqa: E731
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


class Drawing:
    def __init__(self, title, description, height):
        self.height, self.words, self.edges = height, [], []
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{style()}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="head" '
            'd="M0 0L8 4L0 8z"/></marker><pattern id="gone" width="6" height="6" '
            'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            '<path class="line" d="M3 0V6"/></pattern></defs>',
            f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        ]

    def text(self, x, y, words, looks="", room=None, anchor="start"):
        """Words on one line, which have to fit into `room` pixels."""
        size = SMALL if {"small", "code"} & set(looks.split()) else SIZE
        wide = len(words) * size * (MONO if "code" in looks else BOLD if "bold" in looks else SANS)
        if room is None:
            room = {"start": WIDTH - 8 - x, "middle": 2 * min(x, WIDTH - x) - 16, "end": x - 8}[anchor]
        assert wide <= room, f"{words!r} takes {wide:.0f} pixels of {room:.0f}"
        assert 8 < y < self.height - 4, f"{words!r} is not on the paper"
        left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        for others, top, begin, end in self.words:
            apart = abs(top - y) >= SMALL or left >= end or left + wide <= begin
            assert apart, f"{words!r} stands over {others!r}"
        self.words.append((words, y, left, left + wide))
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        look = f' class="{looks}"' if looks else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}"{where}{look}>{escape(words)}</text>')

    def box(self, x, y, width, height, kind, words="", looks="small"):
        """A box, with words in its middle."""
        assert x >= 8 and x + width <= WIDTH - 8 and y + height <= self.height - 8, f"{words!r}: a box"
        self.parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" '
                          f'height="{height:g}" rx="3"/>')
        right, low = x + width, y + height
        self.edge((x, y), (right, y), (right, low), (x, low), (x, y))
        if words:
            self.text(x + width / 2, y + height / 2 + 4.5, words, looks, width - 4, "middle")

    def edge(self, *points):
        """Where no text may stand."""
        for (x, y), (to_x, to_y) in zip(points, points[1:]):
            self.edges.append((min(x, to_x), max(x, to_x), min(y, to_y), max(y, to_y)))

    def line(self, *points, looks=""):
        self.edge(*points)
        path = "L".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(f'<path class="line {looks}" d="M{path}"/>'.replace(' "', '"'))

    def arrow(self, *points, looks=""):
        self.line(*points, looks=looks)
        self.parts[-1] = self.parts[-1].replace("/>", ' marker-end="url(#head)"/>')

    def chips(self, x, y, names, wide=64):
        """Who stands in a list, from its front."""
        for place, name in enumerate(names):
            self.box(x + place * (wide + 6), y, wide, 22, name, name)
        if not names:
            self.text(x, y + 16, "empty", "small faint")

    def svg(self):
        for words, y, left, right in self.words:
            for begin, end, top, low in self.edges:
                apart = right <= begin or left >= end or y + 3 <= top or y - SMALL + 3 >= low
                assert apart, f"{words!r} is crossed at {begin:g} to {end:g}, {top:g} to {low:g}"
        return "\n".join([*self.parts, "</svg>", ""])
