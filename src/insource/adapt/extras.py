"""Libraries of an extra: asked for where they are needed, and missed with the command that installs them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from insource.core.errors import UsageError

TRAINING = ("torch", "transformers", "peft", "gguf", "libgguf")
QUANTIZING = ("libgguf",)


def require(modules: Sequence[str], *, extra: str, purpose: str) -> None:
    """Raises UsageError with the command that installs what is missing; imports nothing."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{purpose} needs {', '.join(missing)}, which the base install leaves out.",
            next_step=f"Install the extra: pip install 'insource[{extra}]'",
        )
