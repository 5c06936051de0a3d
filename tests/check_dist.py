"""What was built, from the outside: python tests/check_dist.py FOLDER. Ends with 1 and a list where something is
missing or does not belong there.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

_IN_WHEEL = (
    "insource/cli/main.py",
    "insource/demo_data/desk/policy.txt",
    "insource/hub/snapshot_2026_10.jsonl.gz",
    "insource/machine/devices.toml",
    "insource/store/migrations/versions/v0001_first.py",
    "insource/web/templates/report.html.j2",
)
_IN_SOURCES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE", "Makefile", "constraints.txt"),
    *("docs/operate.md", "docs/clients.md", "deploy/Dockerfile", "deploy/insource.service", "bench/gateway.py"),
    *("tests/conftest.py", "design/log.md", ".ci/run", "src/insource/cli/main.py"),
)
_STRAY = re.compile(r"(^|/)(\.venv|\.git|__pycache__|node_modules|dist|build)(/|$)|\.(gguf|safetensors|db|pyc|pem)$")
_RELATIVE_LINK = re.compile(r"\]\((?!https?://|#)[^)]*\)")


def problems(folder: Path) -> list[str]:
    (wheel,), (sources,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = archive.namelist()
        (name,) = (each for each in in_wheel if each.endswith(".dist-info/METADATA"))
        described = message_from_bytes(archive.read(name)).get_payload()
        outside = [each for each in in_wheel if not each.startswith(("insource/", name.rpartition("/")[0]))]
    with tarfile.open(sources) as archive:
        in_sources = [each.partition("/")[2] for each in archive.getnames()]
    found = [f"{wheel.name} lacks {each}" for each in _IN_WHEEL if each not in in_wheel]
    found += [f"{wheel.name} holds {each} outside of the package" for each in outside]
    found += [f"{sources.name} lacks {each}" for each in _IN_SOURCES if each not in in_sources]
    found += [f"{each} does not belong in a distribution" for each in in_wheel + in_sources if _STRAY.search(each)]
    found += [f"the index page has the relative link {each}" for each in _RELATIVE_LINK.findall(str(described))]
    return found if "insource serve" in str(described) else [*found, "the index page is not README's"]


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    sys.stderr.writelines(f"{each}\n" for each in wrong)
    sys.exit(bool(wrong))
