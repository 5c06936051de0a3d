"""Which licence a text is, where its beginning leaves no doubt. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BEGINNINGS: Mapping[str, str] = {
    r"apache license\s+version 2\.0": "Apache-2.0",
    r"mit license\b": "MIT",
    r"bsd 3-clause license\b": "BSD-3-Clause",
    r"bsd 2-clause license\b": "BSD-2-Clause",
    r"gnu affero general public license\s+version 3": "AGPL-3.0",
    r"gnu general public license\s+version 3": "GPL-3.0",
    r"creative commons attribution-noncommercial 4\.0": "CC-BY-NC-4.0",
    r"creative commons attribution 4\.0": "CC-BY-4.0",
    r"llama 2 community license": "llama2",
    r"meta llama 3 community license": "llama3",
    r"llama 3\.1 community license": "llama3.1",
    r"llama 3\.2 community license": "llama3.2",
    r"llama 3\.3 community license": "llama3.3",
    r"llama 4 community license": "llama4",
    r"gemma terms of use": "gemma",
}
"""A text's first words -> its SPDX id or, where SPDX has none, the Hub's id."""
_SHOWN_CHARACTERS = 100


def licence_of(text: str) -> str | None:
    """The id, else the text's first line as it stands; None where there is no text."""
    words = text.strip()
    for beginning, name in _BEGINNINGS.items():
        if re.match(rf"(?:the )?{beginning}", words, re.IGNORECASE):
            return name
    line = "".join(c for c in (words.splitlines() or [""])[0] if c.isprintable()).strip()
    return line[:_SHOWN_CHARACTERS] or None
