"""What the pinned engine would allocate for a model that need not be here: its own allocator, asked in a process that
gets a short time and a header with a hole in place of the weights.

It answers for architectures that `fit/` has no formulas for. Where it can't (another build, a header that it refuses,
too slow), the reason comes back as a sentence, and the caller goes on saying that it does not know.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from insource.config import child_environment
from insource.core.remote import Allocation, HeaderFile

SECONDS = 60.0
"""A hundred times what the largest models took on two busy cores, for vocabularies and slower machines."""
_NAME = "model"


def measure_allocation(
    files: Sequence[HeaderFile], settings: Mapping[str, object], *, seconds: float = SECONDS
) -> Allocation | str:
    """`settings`: the fields of `fit.values.RunSettings`. A sentence instead: why there is no answer."""
    with tempfile.TemporaryDirectory(prefix="insource-header-") as folder:
        try:
            first = _lay_out(files, Path(folder))
        except OSError as error:
            return f"The engine was not asked: its file could not be laid out ({error.strerror or error})."
        lines = (json.dumps({"path": str(first)}), json.dumps(dict(settings)))
        # -P: a file in the working folder must not pass for a module of the standard library.
        argv = (sys.executable, "-P", "-m", "insource.engines.allocator_process")
        try:
            done = subprocess.run(
                argv, input="\n".join(lines), capture_output=True, text=True, timeout=seconds, check=False,
                env=child_environment(), cwd=folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"The engine did not answer within {seconds:.0f} seconds."
        except OSError as error:
            return f"The engine could not be started: {error}."
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        return f"The engine could not plan it: {last[:200]}."
    try:
        found = json.loads(done.stdout.splitlines()[0])
        return Allocation(context_bytes=int(found["context"]), compute_bytes=int(found["compute"]))
    except (ValueError, KeyError, TypeError, IndexError):
        return "The engine answered in a form that is not known."


def _lay_out(files: Sequence[HeaderFile], folder: Path) -> Path:
    """The files as llama.cpp finds shards: by number, beside each other. Raises OSError."""
    first: Path | None = None
    for number, file in enumerate(files, 1):
        suffix = f"-{number:05d}-of-{len(files):05d}" if len(files) > 1 else ""
        path = folder / f"{_NAME}{suffix}.gguf"
        if file.path is not None:
            path.symlink_to(file.path.absolute())
        else:
            with path.open("wb") as out:
                out.write(file.data)
                out.truncate(max(len(file.data), file.size_bytes))
        first = first or path
    if first is None:
        raise OSError("there is no file")
    return first
