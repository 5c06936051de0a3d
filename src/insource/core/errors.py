"""Every error that insource raises on purpose. The sentence is made here or where it is raised, once.

    InsourceError
    ├── UsageError              the caller asked for something that is not there or not allowed   cli 2, http 400
    │   ├── UnknownTask                                                                            http 404
    │   ├── UnknownModel                                                                           http 404
    │   ├── NotCertified        a move without a certificate                                       http 409
    │   ├── RefusedByPolicy     a policy refuses the request (privacy) or the model (licence)      http 403
    │   └── EmptyLog            nothing recorded or imported yet                                   http 409
    ├── BadInput                a file or body that can't be read                       cli 3, http 400
    │   ├── BadModelFile        truncated, not a GGUF, wrong hash
    │   └── ContextOverflow     the request is longer than the context                             http 400
    ├── UpstreamError           an engine or a provider did not do its part             cli 4, http 502
    │   ├── EngineFailed        the worker died or never became ready                              http 503
    │   ├── PinnedUnavailable   private request, and nothing local can answer it                   http 503
    │   ├── Unauthorized        the provider refused the key                                       http 401
    │   └── DownloadFailed      no source could deliver a file
    └── StorageError            disk full, database locked or damaged                   cli 5, http 503

Each carries `next_step`: what to do now, as a sentence or a command.
"""

from __future__ import annotations


class InsourceError(Exception):
    """Base. `message` says what happened with values quoted; `next_step` says what to do now."""

    def __init__(self, message: str, *, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}"


class UsageError(InsourceError):
    pass


class UnknownTask(UsageError):
    pass


class UnknownModel(UsageError):
    pass


class NotCertified(UsageError):
    pass


class RefusedByPolicy(UsageError):
    pass


class EmptyLog(UsageError):
    pass


class BadInput(InsourceError):
    pass


class BadModelFile(BadInput):
    pass


class ContextOverflow(BadInput):
    pass


class UpstreamError(InsourceError):
    pass


class EngineFailed(UpstreamError):
    pass


class PinnedUnavailable(UpstreamError):
    pass


class Unauthorized(UpstreamError):
    pass


class DownloadFailed(UpstreamError):
    pass


class TrainingFailed(InsourceError):
    """The libraries broke, or the machine had no memory left: what it learnt so far is kept."""


class StorageError(InsourceError):
    pass
