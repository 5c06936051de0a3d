"""The training libraries, typed as what they are to a strict checker: anything. Importing this takes seconds."""

from __future__ import annotations

from typing import Any

import peft as _peft  # pyright: ignore[reportMissingImports]
import torch as _torch  # pyright: ignore[reportMissingImports]
import transformers as _transformers  # pyright: ignore[reportMissingImports]

torch: Any = _torch
transformers: Any = _transformers
peft: Any = _peft

_transformers.logging.set_verbosity_error()
_transformers.utils.logging.disable_progress_bar()
