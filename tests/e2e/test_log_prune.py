"""`insource log prune` beside a gateway that serves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from insource.core.values import Exchange
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from tests.fakes.gateway_process import Installation
from tests.fakes.loopback import hosted
from tests.fakes.servers import FakeProvider, ServerThread

pytestmark = pytest.mark.slow


def test_old_exchanges_go_and_their_space_too_while_the_gateway_serves(tmp_path: Path) -> None:
    now, home = datetime.now(UTC), tmp_path / "home"
    database = open_database(f"sqlite:///{home / 'insource.db'}")
    store = SqlExchangeStore(database)
    store.append(
        Exchange(
            id=f"e{number}",
            created=now - timedelta(days=1 if number % 10 == 0 else 100),
            request={"messages": [{"role": "user", "content": f"{number:06} " * 1_000}]},
        )
        for number in range(1_000)
    )
    whole_bytes = _on_disk_bytes(home)
    with ServerThread(FakeProvider(answer=hosted)) as provider:
        installation = Installation(
            home=home, model=tmp_path / "no.gguf", settings={"provider_url": provider.url, "privacy": "observe"}
        )
        with installation.serving() as serving:
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
            url = f"{serving.url}/v1/chat/completions"
            assert httpx.post(url, json=body).status_code == 200
            said = installation.run("log", "prune", "--older-than", "30", "--yes")
            assert said.stdout.startswith("900 exchanges from before ")
            assert said.stderr == ""
            assert _on_disk_bytes(home) < whole_bytes / 5
            assert httpx.post(url, json=body).status_code == 200
            health = httpx.get(f"{serving.url}/health").json()
            assert (health["status"], health["log"]["dropped"]) == ("ok", 0)
    assert store.count() == 102
    database.close()


def _on_disk_bytes(home: Path) -> int:
    return sum(file.stat().st_size for file in home.glob("insource.db*"))
