"""A tree of descendants as one HTML file: no script, no request; the browser's own `<details>` folds it.

Every name was written by a stranger: escaped here, once, and the page's own policy forbids anything to load or run.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from insource.core.ecosystem import TreeNode
from insource.workflows.ecosystem.names import safe_name

KIND_COLOURS: Mapping[str, str] = {
    "finetune": "#1b6ca8",
    "adapter": "#7a4fa3",
    "quantized": "#8a6d1f",
    "altered": "#a3333d",
    "merge": "#a8431b",
    "": "#333",
}
_OPEN_LEVELS = 2
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1c1f23 }
h1 { font-size: 1.4rem } p { color: #4a5058 } ul { list-style: none; margin: 0; padding-left: 1.4rem;
border-left: 1px solid #d5d9de } body > ul { border: 0; padding: 0 } li { padding: .1rem 0 }
summary { cursor: pointer } summary::marker { color: #6b7280 } .leaf { padding-left: 1.05rem }
.kind { font-size: .8rem; border: 1px solid; border-radius: .6rem; padding: 0 .45rem; margin-right: .4rem }
.figures { color: #5b626b; font-size: .88rem; margin-left: .5rem } .folded { color: #5b626b; font-style: italic }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def tree_html(root: TreeNode, *, note: str) -> str:
    """The page; `note` says where the figures come from."""
    name = escape(safe_name(root.id))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What was built on {name}</title><style>{_STYLE}</style></head><body>"
        f"<h1>What was built on {name}</h1><p>{escape(note)}</p>"
        f"<ul>{''.join(_parts(root))}</ul></body></html>\n"
    )


def figures(node: TreeNode) -> str:
    """In words: the counts are of different things, so each says its own."""
    said = [f"{node.direct:,} direct, {node.transitive:,} in all"] if node.direct else []
    said += ["downloads not stated"] if node.downloads is None else [f"{node.downloads:,} downloads in 30 days"]
    return "; ".join(said)


def folded(node: TreeNode) -> str:
    """The children that are not shown: "" if there are none."""
    if not node.folded:
        return ""
    return "and " + ", ".join(f"{count:,} more ({kind})" if kind else f"{count:,} more" for kind, count in node.folded)


def _parts(root: TreeNode) -> list[str]:
    """A stack in place of recursion: chains are deep."""
    parts: list[str] = []
    waiting: list[TreeNode | str] = [root]
    depths = {id(root): 0}
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            parts.append(node)
            continue
        line = _line(node)
        if node.shown_above or not (node.children or node.folded):
            parts.append(f'<li><div class="leaf">{line}</div></li>')
            continue
        level = depths[id(node)]
        parts.append(f"<li><details{' open' if level < _OPEN_LEVELS else ''}><summary>{line}</summary><ul>")
        rest = f'<li class="folded">{escape(folded(node))}</li>' if node.folded else ""
        waiting.append(f"{rest}</ul></details></li>")
        for child in reversed(node.children):
            depths[id(child)] = level + 1
            waiting.append(child)
    return parts


def _line(node: TreeNode) -> str:
    colour = KIND_COLOURS.get(node.kind, KIND_COLOURS[""])
    kind = f'<span class="kind" style="color:{colour}">{escape(node.kind)}</span>' if node.kind else ""
    again = " (its own tree is at its other place)" if node.shown_above else ""
    return f'{kind}{escape(safe_name(node.id))}{again}<span class="figures">{escape(figures(node))}</span>'
