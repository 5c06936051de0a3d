"""Errors as HTTP answers in OpenAI's shape, so that every SDK raises its own exception with our sentence in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from insource.core import errors
from insource.core.errors import InsourceError
from insource.core.hashing import canonical_json
from insource.core.values import JsonObject

STATUS: Mapping[type[InsourceError], int] = MappingProxyType(
    {
        errors.InsourceError: 500,
        errors.UsageError: 400,
        errors.UnknownTask: 404,
        errors.UnknownModel: 404,
        errors.NotCertified: 409,
        errors.RefusedByPolicy: 403,
        errors.EmptyLog: 409,
        errors.BadInput: 400,
        errors.BadModelFile: 400,
        errors.ContextOverflow: 400,
        errors.UpstreamError: 502,
        errors.EngineFailed: 503,
        errors.PinnedUnavailable: 503,
        errors.Unauthorized: 401,
        errors.DownloadFailed: 502,
        errors.StorageError: 503,
        errors.TrainingFailed: 500,
    }
)
_CODES: Mapping[type[InsourceError], str] = MappingProxyType(
    {errors.ContextOverflow: "context_length_exceeded", errors.Unauthorized: "invalid_api_key"}
)
"""OpenAI's own codes where it has one; else the class name in snake case."""


def status_of(error: InsourceError) -> int:
    """The nearest class in the error's ancestry decides: a plugin's own error has its parent's status."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def body_of(error: InsourceError, *, path: str = "") -> JsonObject:
    """In the dialect of the request's path."""
    code = _CODES.get(type(error)) or re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    message = f"{error.message} {error.next_step}"
    if path.rstrip("/").endswith("/messages"):
        return {"type": "error", "error": {"type": _anthropic_kind(status_of(error)), "message": message}}
    return error_body(message, status=status_of(error), code=code)


def _anthropic_kind(status: int) -> str:
    known = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    return known.get(status, "invalid_request_error" if status < 500 else "api_error")


def error_body(message: str, *, status: int, code: str) -> JsonObject:
    """In OpenAI's dialect."""
    kind = "invalid_request_error" if status < 500 else "server_error" if status == 500 else "upstream_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def error_event(error: InsourceError) -> bytes:
    """The last event of a stream of ours that was cut; no `[DONE]` follows it."""
    return b"data: " + canonical_json(body_of(error)) + b"\n\n"
