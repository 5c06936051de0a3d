"""Texts in which nobody's data is to be expected, and the labelled ones: what bench/privacy_detect.py measures on."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
import site
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from email import message_from_string
from pathlib import Path
from typing import Any

PIECE = 4096
"""Characters of a piece of source code."""
_SOURCES = frozenset(
    (
        *(".py", ".js", ".ts", ".mjs", ".cjs", ".c", ".h", ".cpp", ".pl", ".pm", ".sh", ".go", ".rs", ".java", ".rb"),
        *(".yaml", ".yml", ".json", ".toml", ".css", ".html"),
    )
)
_READMES = frozenset(("", ".md", ".rst", ".txt"))
_SHORTEST = 400
_ABOUT_NUMBERS = ("stdnum", "phonenumbers")
"""Packages whose subject is valid numbers of people: their examples are what a detector is for."""
_A_PACKAGE = 60
"""Files of one package at most."""


def presidio_records(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data / "presidio" / "synth_dataset_v2.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def harmless_texts(data: Path) -> dict[str, list[str]]:
    """What people asked, published by others."""
    banking: list[str] = []
    for name in ("train", "test"):
        with gzip.open(data / "banking77" / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            banking += [row["text"] for row in csv.DictReader(file)]
    with gzip.open(data / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        intents: dict[str, list[list[str]]] = json.load(file)
    maths = _lines(data / "routellm" / "gsm8k.jsonl.gz")
    return {
        "Banking77 messages": banking,
        "CLINC150 messages": [text for part in intents.values() for text, _ in part],
        "GSM8K problems, answers": [text for row in maths for text in (row["prompt"], row["gpt_4_1106_answer"])],
        "MMLU questions": [row["prompt"] for row in _lines(data / "routellm" / "mmlu.jsonl.gz")],
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# ------------------------------------------------------------------------------------------- files of this machine


def default_roots() -> list[Path]:
    """The standard library, what is installed beside it, and what Debian's and npm's packages brought."""
    named = (
        "/usr/lib/python3/dist-packages",
        "/usr/lib/node_modules/npm/node_modules",
        "/usr/include",
        "/usr/share/perl5",
    )
    found = [
        sysconfig.get_path("stdlib"),
        *site.getsitepackages(),
        *named,
        *map(str, Path("/usr/share/perl").glob("5*")),
    ]
    return [root for root in dict.fromkeys(Path(name).resolve() for name in found) if root.is_dir()]


def source_texts(roots: Iterable[Path], *, half: int) -> dict[str, list[str]]:
    """Of one half of the packages (by a hash of their names; rules were tuned on half 0): the beginning of each source
    file, a piece from anywhere in it, and READMEs, wheels' descriptions among them."""
    rng = random.Random(half)
    beginnings: list[str] = []
    pieces: list[str] = []
    readmes: list[str] = []
    for text, is_readme in _files(roots, half):
        start = rng.randrange(len(text) - PIECE) if len(text) > 2 * PIECE else 0
        (readmes if is_readme else beginnings).append(text[:PIECE])
        if not is_readme:
            pieces.append(text[start : start + PIECE])
    return {"source files, first 4 kB": beginnings, "source files, any 4 kB": pieces, "READMEs, first 4 kB": readmes}


def _files(roots: Iterable[Path], half: int) -> Iterator[tuple[str, bool]]:
    seen: set[bytes] = set()
    taken: Counter[str] = Counter()
    for root in roots:
        for path in sorted(root.rglob("*")):
            package = path.relative_to(root).parts[0]
            is_readme = _is_readme(path)
            if (
                package in _ABOUT_NUMBERS
                or _half(package) != half
                or not (is_readme or path.suffix in _SOURCES)
                or not path.is_file()
            ):
                continue
            if not is_readme and taken[package] >= _A_PACKAGE:
                continue
            text = _read(path)
            digest = hashlib.sha256(text.encode()).digest()
            if len(text) >= _SHORTEST and digest not in seen:
                seen.add(digest)
                taken[package] += not is_readme
                yield text, is_readme


def _is_readme(path: Path) -> bool:
    if path.name == "METADATA":
        return path.parent.name.endswith(".dist-info")
    return path.name.lower().startswith("readme") and path.suffix.lower() in _READMES


def _half(package: str) -> int:
    return hashlib.sha256(package.encode()).digest()[0] % 2


def _read(path: Path) -> str:
    """ "" of what is not text. Of a wheel's metadata the description, which is its README."""
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
    return str(message_from_string(text).get_payload()) if path.name == "METADATA" else text


def every(texts: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly spread."""
    step = max(1, -(-len(texts) // most))
    return list(texts[::step])


# -------------------------------------------------------------------------------------------------------- placeholders

_KEYS = (
    "api_key",
    "API_KEY",
    "OPENAI_API_KEY",
    "token",
    "password",
    "client_secret",
    "DB_PASSWORD",
    "access_token",
    "secret",
)
_STANDING_FOR = (
    *(
        "YOUR_API_KEY",
        "your-api-key",
        "<your-api-key>",
        "<token>",
        "<PASSWORD>",
        "${API_KEY}",
        "$API_KEY",
        "{{ secret }}",
    ),
    *(
        "xxxxxxxxxxxxxxxxxxxx",
        "XXXX-XXXX-XXXX-XXXX",
        "********",
        "...",
        "changeme",
        "CHANGE_ME",
        "change-this-password",
    ),
    *(
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-...",
        "sk-your-key-here",
        "sk-proj-xxxxxxxxxxxxxxxxxxxxxxxx",
        "replace-me",
    ),
    *(
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_YOUR_PERSONAL_ACCESS_TOKEN_HERE_12",
        "hf_your_token_goes_in_here_now",
    ),
    *(
        "AKIAIOSFODNN7EXAMPLE",
        "AKIAXXXXXXXXXXXXXXXX",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    ),
    *("sk-ant-api03-XXXXXXXXXXXXXXXXXXXXXXXX", "sk-1234567890abcdef1234567890abcdef", "xoxb-your-token-goes-in-here"),
    *(
        "glpat-xxxxxxxxxxxxxxxxxxxx",
        "npm_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "SG.xxxxxxxxxxxxxxxxxxxxxx.xxxxxxxxxxxxxxxx",
    ),
    *(
        "example-token",
        "dummy-password",
        "fake_secret_for_tests",
        "placeholder",
        "REDACTED",
        "[REDACTED]",
        "insert-key-here",
    ),
    *(
        "test-api-key-for-unit-tests",
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789abcdef0123456789abcdef",
        "secret",
        "password",
    ),
    *(
        "os.environ['API_KEY']",
        "process.env.API_KEY",
        "getpass.getpass()",
        "None",
        "null",
        "undefined",
        "string",
        "my-secret",
    ),
)
_FORMS = (
    "{key}={value}",
    '{key} = "{value}"',
    '"{key}": "{value}"',
    "export {key}={value}",
    "{key}: {value}",
    "Set {value} as {key}.",
)


def placeholders() -> list[str]:
    """Ways to write "a secret comes here", each in each form of a setting."""
    return [form.format(key=key, value=value) for form in _FORMS for key in _KEYS for value in _STANDING_FOR]
