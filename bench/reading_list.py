"""Sixty messages for somebody who knows nothing of the project: errors, help lines, reports, drawn from all of them.

    python -m bench.reading_list [SEED]     prints them, a line each; X stands for a value

What a reader marked as strange, and what became of it, is kept in bench/results/reading_list.txt.
"""

from __future__ import annotations

import ast
import random
import sys

from tests.unit.test_words import SOURCE, messages_in

MESSAGES = 60
_LEAST_WORDS = 5


def main() -> None:
    drawn = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    texts = {
        " ".join(text.split())
        for path in sorted(SOURCE.rglob("*.py"))
        for _, text in messages_in(ast.parse(path.read_text()))
        if len(text.split()) >= _LEAST_WORDS
    }
    for number, text in enumerate(drawn.sample(sorted(texts), MESSAGES), 1):
        print(f"{number:2}. {text}")


if __name__ == "__main__":
    main()
