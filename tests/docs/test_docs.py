"""Docs are executed: every `sh` block of README.md and docs/ runs, in order, in an empty home; `make` lines must name a
target that exists; every relative link leads somewhere; the generated pages are up to date.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo_lines import lines_of, write_lines

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _commands(page: Path) -> list[str]:
    blocks = BLOCK.findall(page.read_text())
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert not [link for link in LINK.findall(page.read_text()) if not (page.parent / link.split("#")[0]).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_lines_name_targets(page: Path) -> None:
    wanted = {line.split()[1] for line in _commands(page) if line.startswith("make ")}
    assert wanted <= TARGETS


@pytest.mark.engine
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run_as_written(page: Path, tmp_path: Path, default_model_path: Path) -> None:
    """`make` lines and clones are left to CI, which is made of them; everything else runs here, from an empty home."""
    commands = [line for line in _commands(page) if not line.startswith(("make ", "git ", "cd "))]
    if not commands:
        return
    # Too few for a model to be asked: how a plan measures is tried in tests/e2e, here only that the commands run.
    write_lines(tmp_path / "traffic.jsonl", lines_of("policy")[:40] + lines_of("triage")[:50])
    (tmp_path / "texts.jsonl").write_text('{"id": "1", "text": "Write to ada@example.org"}\n')
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "INSOURCE_HOME": str(tmp_path / "home"),
        "INSOURCE_MODEL": f"file:{default_model_path}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
