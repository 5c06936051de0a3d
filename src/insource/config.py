"""Settings: the only reader of the environment. A TOML file (`insource.toml` in the data folder, or the one named by
INSOURCE_CONFIG) under INSOURCE_* variables; every field states its unit in its name and its meaning in one sentence.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from insource.core.errors import UsageError


def _data_folder() -> Path:
    return user_data_path("insource", appauthor=False)


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME")
    return Path(os.environ.get("HF_HUB_CACHE") or (Path(home) if home else Path.home() / ".cache/huggingface") / "hub")


RETIRED: Mapping[str, str] = {
    "privacy_seconds": "a scan's limit is processor time now: scan_cpu_seconds",
    "privacy_pin_share": "only you pin a task now: insource move TASK --pin",
}
"""Settings of older versions that a file may still hold, and what became of them. They change nothing."""


PREFIX = "INSOURCE_"
PROJECT_FAMILIES = ("BENCH", "CI", "DATA", "DIFFERENTIAL", "PROMISE", "TEST")
"""First words of variables that the project's own tests, benches and CI read; the program passes them over."""


class _File(TomlConfigSettingsSource):
    """The TOML file, without what is retired."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if name not in RETIRED}


class Settings(BaseSettings):
    """Every setting. Its environment variable is INSOURCE_ and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="INSOURCE_", extra="forbid", frozen=True)

    home: Path = Field(default_factory=_data_folder, description="Folder of the database, artifacts and reports.")
    database_url: str = Field("", description="SQLAlchemy URL of the store; empty: SQLite in the home folder.")
    model_cache: Path = Field(default_factory=_hub_cache, description="Hugging Face cache that model files live in.")
    ollama_models: str = Field("", description="Ollama's model folder; empty: OLLAMA_MODELS, else its usual places.")
    llamacpp_cache: str = Field("", description="llama.cpp's cache folder; empty: LLAMA_CACHE, else its usual place.")
    lmstudio_models: str = Field("", description="LM Studio's model folder; empty: the one that its settings name.")
    hub_url: str = Field("", description="Base URL of the Hub; empty: the client's own default or HF_ENDPOINT.")
    model: str = Field("", description="Reference of the local model; empty: the default small model.")
    engine_url: str = Field("", description="Base URL of an external OpenAI-compatible engine used instead of ours.")
    context_tokens: int = Field(8192, ge=256, description="Context of the local engine, over all slots.")
    slots: int = Field(4, ge=1, le=256, description="Requests that the local engine works on at once.")
    threads: int = Field(0, ge=0, description="Threads of the local engine; 0: the physical cores.")
    engine_start_seconds: float = Field(120.0, gt=0, description="Longest wait for an engine to become ready.")
    engine_idle_seconds: float = Field(
        300.0, ge=0, description="Rest without use after which an engine that no move needs is stopped; 0: never."
    )
    engine_restarts: int = Field(5, ge=0, description="Restarts of a crashed engine worker before it is given up.")
    provider_url: str = Field("https://api.openai.com", description="Base URL of the hosted API, without /v1.")
    provider_key_env: str = Field("OPENAI_API_KEY", description="Environment variable with the hosted API's key.")
    provider_replay: bool = Field(False, description="Answer from recorded exchanges; call no hosted API.")
    replay_latency: bool = Field(False, description="Replay with the recorded latency.")
    connect_seconds: float = Field(10.0, gt=0, description="Longest wait for a connection to the hosted API.")
    first_byte_seconds: float = Field(600.0, gt=0, description="Longest wait for the hosted API to begin its answer.")
    between_chunks_seconds: float = Field(
        600.0, gt=0, description="Longest silence within an answer of the hosted API."
    )
    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    allow_network: bool = Field(False, description="Allow an address that other machines can reach.")
    allow_hosts: str = Field("", description="Host names, separated by commas, that requests may name beside loopback.")
    allow_origins: str = Field("", description="Origins of web pages, separated by commas, that may use the gateway.")
    port: int = Field(8787, ge=0, le=65535, description="Port that the gateway listens on; 0: any free one.")
    log_bodies: bool = Field(True, description="Keep requests and answers in the log; off: figures only.")
    flush_seconds: float = Field(0.05, gt=0, le=0.05, description="Longest wait of an exchange before it is written.")
    catalogue: str = Field("", description="Snapshot of the open models that exist; empty: the shipped one.")
    licenses: str = Field(
        "permissive,open-model", description="Licence classes, and ids, of models that may be proposed or moved to."
    )
    machine_usd_per_month: float | None = Field(
        None, ge=0, description="What the machine that answers costs a month in USD: rent, or its price over its life."
    )
    machine_watts: float | None = Field(
        None, ge=0, description="What that machine draws on average, day and night; its power costs extra."
    )
    usd_per_kwh: float | None = Field(None, ge=0, description="Price of power in USD.")
    latency_seconds: float = Field(
        30.0, gt=0, description="Time within which 95 of 100 answers given here must be complete."
    )
    privacy: Literal["", "observe", "enforce"] = Field(
        "",
        description="Where there is no privacy policy (privacy.toml). observe: change nothing, record what is private; "
        "enforce: keep private requests here; empty: observe, or enforce in a store that an older insource began.",
    )
    private_model: str = Field(
        "", description="Reference of the local model that answers private requests where no candidate is certified."
    )
    privacy_detector: str = Field("patterns", description="Name of the detector of personal data and secrets.")
    forward_headers: str = Field(
        "",
        description="Headers, separated by commas, that go to the provider under a privacy policy that acts, beside "
        "those of the official clients.",
    )
    trusted_engines: str = Field(
        "",
        description="Hosts (or host:port), separated by commas, of engines on other machines that may get private "
        "requests; else only engines on loopback may.",
    )
    scan_cpu_seconds: float = Field(
        5.0,
        gt=0,
        description="Processor time that a scan may take, and again for each MB; then a request is unscanned.",
    )
    scan_processes: int = Field(
        0, ge=0, le=64, description="Processes that scan live requests; 0: as many as cores, at most 4."
    )
    margin: float = Field(0.02, gt=0, lt=1, description="Non-inferiority margin: the loss of quality accepted.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of every stated bound.")
    min_exchanges: int = Field(60, ge=1, description="Fewer exchanges with a reference than this: MORE DATA.")
    canary_share: float = Field(0.1, gt=0, lt=1, description="Share of requests that a canary answers.")
    share: float = Field(
        0.02, ge=0, le=1, description="Share of a moved task's requests that the hosted API is asked too; 0: none."
    )
    share_usd_per_day: float = Field(
        1.0, ge=0, description="Most that asking the hosted API again may cost a day, in US dollars."
    )
    anchors: int = Field(300, ge=0, description="Past requests of a moved task that both sides are asked again.")
    anchor_days: float = Field(7.0, gt=0, description="Days between two rounds of them.")
    certificate_days: float = Field(
        90.0, gt=0, description="Days without new evidence after which a certificate expires."
    )
    promote: Literal["suggest", "auto"] = Field(
        "suggest", description="What follows when a stage went well: a suggestion, or the next stage by itself."
    )
    watch_seconds: float = Field(60.0, gt=0, description="Time between two looks at the moves while serving.")
    webhook_url: str = Field("", description="URL that every event of a move is posted to, as JSON.")
    conversations_switch: bool = Field(
        False, description="Let a conversation change between the hosted API and this machine."
    )
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _File(settings_cls, toml_file=config_file())

    @property
    def ollama_folders(self) -> tuple[Path, ...]:
        """Where Ollama may keep models: its own user's folder is that of its Linux service."""
        named = self.ollama_models or os.environ.get("OLLAMA_MODELS")
        usual = (Path.home() / ".ollama/models", Path("/usr/share/ollama/.ollama/models"))
        return (Path(named),) if named else usual

    @property
    def llamacpp_folder(self) -> Path:
        """As llama.cpp's `fs_get_cache_directory` finds it (common/common.cpp)."""
        named = self.llamacpp_cache or os.environ.get("LLAMA_CACHE")
        if named:
            return Path(named)
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches/llama.cpp"
        caches = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
        return (Path(caches) if caches else Path.home() / ".cache") / "llama.cpp"

    @property
    def store_url(self) -> str:
        return self.database_url or f"sqlite:///{self._store_file}"

    @property
    def has_store(self) -> bool:
        """False: the usual one, in the home folder, was not made yet."""
        return bool(self.database_url) or self._store_file.exists()

    @property
    def _store_file(self) -> Path:
        return self.home / "insource.db"


def config_file() -> Path:
    """Where the settings file is, or would be. Raises UsageError where one is named or there and can't be read."""
    named = os.environ.get("INSOURCE_CONFIG")
    home = os.environ.get("INSOURCE_HOME")
    file = Path(named) if named else (Path(home) if home else _data_folder()) / "insource.toml"
    if not named and not file.exists():
        return file
    try:
        file.open("rb").close()
    except OSError as error:
        why = "INSOURCE_CONFIG names it" if named else "it is in the data folder"
        raise UsageError(
            f"The settings file {str(file)!r} can't be read: {error.strerror} ({why}).",
            next_step="Correct the path, or unset INSOURCE_CONFIG." if named else "Make it a file that you may read.",
        ) from error
    return file


def unknown_variables(environment: Iterable[str], *, named: Iterable[str] = ()) -> list[str]:
    """The variables of an environment that look like settings and are none. `named`: variables that a setting names,
    such as that of a key. Pure."""
    known = {PREFIX + name.upper() for name in (*Settings.model_fields, *RETIRED)} | {"INSOURCE_CONFIG"} | set(named)
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and name not in known
        and name.upper().removeprefix(PREFIX).split("_")[0] not in PROJECT_FAMILIES
    )


def closest_setting(name: str) -> str | None:
    """The setting that a wrong name most likely means. Pure."""
    wanted = name.lower().removeprefix(PREFIX.lower())
    close = difflib.get_close_matches(wanted, [*Settings.model_fields, "config"], n=1, cutoff=0.6)
    return close[0] if close else None


def check_environment(settings: Settings) -> None:
    """Raises UsageError where a variable looks like a setting and is none: it would change nothing, unnoticed."""
    unknown = unknown_variables(os.environ, named=[settings.provider_key_env])
    if not unknown:
        return
    meant = [(name, closest_setting(name)) for name in unknown]
    hints = ", ".join(f"{PREFIX}{close.upper()} for {name}" for name, close in meant if close)
    one = len(unknown) == 1
    raise UsageError(
        f"{', '.join(unknown)} {'is not a setting' if one else 'are not settings'}.",
        next_step=f"Did you mean {hints}? Otherwise unset {'it' if one else 'them'}; docs/settings.md lists all."
        if hints
        else f"Unset {'it' if one else 'them'}; docs/settings.md lists the settings.",
    )


def user_home() -> Path:
    return Path.home()


def secret(name: str) -> str | None:
    """The value of a secret's environment variable. It is never logged, stored or shown."""
    return os.environ.get(name) or None


def child_environment(*, defaults: Mapping[str, str] | None = None, **changes: str) -> dict[str, str]:
    """This process's environment for a subprocess, with changes, and with defaults for what is not set."""
    return {**(defaults or {}), **os.environ, **changes}
