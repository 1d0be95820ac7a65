"""What was measured, as a picture: what each proxy takes, relative to nginx."""

from html import escape

from figures import ratio

COLOURS = {"nginx": "#8c959f", "HAProxy": "#54aeff", "other": "#d4a72c", "Equipoise": "#2da44e"}
BAR, GAP, LEFT, WIDTH, TOP = 9, 12, 300, 420, 52


def svg(result):
    """The picture. It has a background of its own, so that it can be read on a dark page, too."""
    entries = [entry for entry in result["workloads"] if "nginx" in entry["rounds"]]
    if not entries:
        return None
    reach = max(scale_end(entry["rounds"]) for entry in entries)
    scale = WIDTH / reach
    parts, y = [], TOP
    for entry in entries:
        part, height = group(entry, y, scale)
        parts.append(part)
        y += height + GAP
    total = LEFT + WIDTH + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {y + 8}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{total}" height="{y + 8}" fill="#ffffff"/>\n'
        f'<text x="12" y="22" font-size="15" fill="#1f2328">CPU time or memory, relative to nginx: less is better</text>\n'
        f"{legend(entries)}\n{''.join(parts)}"
        f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="{TOP - 6}" y2="{y}" stroke="#1f2328" '
        'stroke-dasharray="3 3"/>\n</svg>\n'
    )


def scale_end(rounds):
    """How far the axis has to go for these; what is far beyond is cut off."""
    return min(3.0, max(ratio(rounds, name, "nginx")[0] for name in rounds) * 1.05)


def legend(entries):
    """Which colour is whose."""
    parts = []
    for n, name in enumerate(entries[0]["rounds"]):
        x = LEFT + n * 100
        parts.append(f'<rect x="{x}" y="31" width="10" height="10" fill="{COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 15}" y="40" fill="#1f2328">{escape(name)}</text>')
    return "".join(parts)


def group(entry, y, scale):
    """The bars of one workload, each with a line from its least ratio to its greatest."""
    rounds = entry["rounds"]
    height = BAR * len(rounds)
    parts = [
        f'<text x="{LEFT - 10}" y="{y + height / 2 + 4:.1f}" text-anchor="end" fill="#1f2328">{escape(entry["title"])}</text>\n'
    ]
    for n, name in enumerate(rounds):
        middle, least, greatest = ratio(rounds, name, "nginx")
        top = y + n * BAR
        length, end = min(middle * scale, WIDTH), min(greatest * scale, WIDTH)
        parts.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR - 1}" fill="{COLOURS[name]}"/>')
        if name != "nginx":
            parts.append(
                f'<text x="{LEFT + end + 6:.1f}" y="{top + BAR - 1}" font-size="9" fill="#1f2328">{middle:.2f}</text>'
            )
        if name != "nginx" and middle * scale <= WIDTH:
            line = top + (BAR - 1) / 2
            parts.append(
                f'<line x1="{LEFT + least * scale:.1f}" x2="{LEFT + end:.1f}" y1="{line}" y2="{line}" stroke="#1f2328" '
                'stroke-opacity="0.5"/>'
            )
        parts.append("\n")
    return "".join(parts), height
