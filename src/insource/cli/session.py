"""What every command starts with: settings, services and the output sink. Heavy imports happen here, not at start."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from insource.cli.output import Output
from insource.core.errors import UsageError

if TYPE_CHECKING:
    from insource.config import Settings
    from insource.workflows.services import Services


def load_settings(**overrides: Any) -> Settings:
    """Settings from the file and the environment, under the options of the command line. Raises UsageError."""
    from pydantic import ValidationError
    from pydantic_settings.exceptions import SettingsError

    from insource.config import Settings, check_environment

    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(_problem(each["type"], each["loc"], each["msg"]) for each in error.errors())
        raise UsageError(
            f"A setting is wrong: {problems}.", next_step="docs/settings.md lists every setting with its default."
        ) from error
    except (SettingsError, ValueError, OSError) as error:
        raise UsageError(
            f"The settings can't be read: {str(error).rstrip('.')}.",
            next_step="Correct insource.toml or the INSOURCE_* variable.",
        ) from error
    check_environment(settings)
    return settings


def _problem(kind: str, where: tuple[int | str, ...], message: str) -> str:
    from insource.config import closest_setting

    name = ".".join(map(str, where))
    if kind != "extra_forbidden":
        return f"{name}: {message}"
    close = closest_setting(name)
    return f"{name} in insource.toml is not a setting" + (f" (did you mean {close}?)" if close else "")


@contextmanager
def session(*, as_json: bool = False, quiet: bool = False, **overrides: Any) -> Generator[tuple[Services, Output]]:
    """The services of one command; closed at its end, so that nothing recorded is left in memory."""
    from insource.wiring import open_services

    with open_services(load_settings(**overrides)) as services:
        yield services, Output(as_json=as_json, quiet=quiet)
