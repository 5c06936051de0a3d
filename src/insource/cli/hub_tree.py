"""`insource hub tree`: what was built on a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings
from insource.core.errors import StorageError

if TYPE_CHECKING:
    from insource.core.ecosystem import TreeNode

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="Read models from this file, as `hub sync` would; default: local snapshots."
    ),
]


def tree(  # noqa: PLR0913 - a command's parameters are its options
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The model's Hub id; upper and lower case do not matter.")
    ],
    depth: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Generations to show.")] = 3,
    most: Annotated[int, typer.Option(min=1, max=500, metavar="N", help="Children to show per model.")] = 12,
    skip: Annotated[
        bool, typer.Option("--skip-intermediaries", help="Leave out copies by quantisers and re-uploaders.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the tree as a page that folds.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the tree as a picture.")] = None,
    source: FileOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show a model's descendants: fine-tunes, adapters, quantisations and merges, level by level."""
    from insource.wiring_choose import open_ecosystem

    out = Output(as_json=as_json, quiet=quiet)
    with open_ecosystem(load_settings(), source) as ecosystem:
        counts = ecosystem.declared()
        root = ecosystem.tree(model, depth=depth, most=most, direct=skip)
    note = f"Of {counts.edges:,} declared edges; a model is shown in full at one place only."
    if html is not None:
        from insource.web.tree_page import tree_html

        _write(html, tree_html(root, note=note), out)
    if svg is not None:
        from insource.web.tree_svg import tree_svg

        _write(svg, tree_svg(root), out)
    if as_json:
        out.data(asdict(root))
        return
    for line in _lines(root):
        out.text(line)
    out.say(note)


def _write(path: Path, text: str, out: Output) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"The tree can't be written to {str(path)!r}: {error.strerror}.", next_step="Give another file."
        ) from error
    out.say(f"Written: {path}")


def _lines(root: TreeNode) -> list[str]:
    """A stack in place of recursion: chains are deep."""
    from insource.web.tree_page import figures, folded
    from insource.workflows.ecosystem.names import safe_name

    lines: list[str] = []
    waiting: list[tuple[TreeNode | str, str, str]] = [(root, "", "")]
    while waiting:
        item, lead, indent = waiting.pop()
        if isinstance(item, str):
            lines.append(lead + item)
            continue
        kind = f"[{item.kind}] " if item.kind else ""
        again = " ↑ shown at its other place" if item.shown_above else f"  {figures(item)}"
        lines.append(f"{lead}{kind}{safe_name(item.id)}{again}")
        rest = folded(item)
        below: list[TreeNode | str] = [*item.children, *([rest] if rest else [])]
        for place, child in reversed(list(enumerate(below))):
            last = place == len(below) - 1
            waiting.append((child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")))
    return lines
