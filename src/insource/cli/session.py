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

    from insource.config import Settings

    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(
            f"A setting is wrong: {problems}.", next_step="`insource doctor` lists every setting; docs/settings.md too."
        ) from error
    except (SettingsError, ValueError, OSError) as error:
        raise UsageError(
            f"The settings can't be read: {error}.", next_step="Correct insource.toml or the INSOURCE_* variable."
        ) from error


@contextmanager
def session(*, as_json: bool = False, quiet: bool = False, **overrides: Any) -> Generator[tuple[Services, Output]]:
    """The services of one command; closed at its end, so that nothing recorded is left in memory."""
    from insource.wiring import open_services

    with open_services(load_settings(**overrides)) as services:
        yield services, Output(as_json=as_json, quiet=quiet)
