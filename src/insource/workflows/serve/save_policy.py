"""Writing the privacy policy's file: whole or not at all, because a running gateway reads it."""

from __future__ import annotations

from pathlib import Path

from insource.core.errors import StorageError
from insource.core.policy import Policy
from insource.routing.policy_file import render_policy


def save_policy(path: Path, policy: Policy) -> None:
    """Raises StorageError."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        part.chmod(0o600)  # it may name the addresses of people
        part.write_text(render_policy(policy), "utf-8")
        part.replace(path)
    except OSError as error:
        raise StorageError(
            f"The privacy policy {str(path)!r} can't be written ({error.strerror}).",
            next_step="Check the folder, its permissions and the free space.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
