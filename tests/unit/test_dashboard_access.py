"""The dashboard in front of the gateway: who gets in, and what every answer says to the browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from insource.cli.session import load_settings
from insource.web.access import FORM_FIELD, ROOT, Access
from insource.wiring import open_services
from insource.workflows.services import Services
from tests.fakes.dashboard import ACCESS, BASE, COOKIE, TOKEN, client_of


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Nothing here changes it."""
    with open_services(load_settings(home=tmp_path_factory.mktemp("home"))) as opened:
        yield opened


@pytest.fixture
async def browser(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        yield client


async def test_the_front_leads_to_the_dashboard(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, ROOT)


async def test_the_token_becomes_a_cookie_and_leaves_the_url(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"{ROOT}tasks?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}tasks")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert f"Path={ROOT}" in cookie
    opened = await browser.get(ROOT)  # the client keeps cookies as a browser does
    assert opened.status_code == 200
    assert TOKEN not in opened.text


@pytest.mark.parametrize("path", ["", "tasks", "requests", "nothing-there", "tasks/x/move"])
async def test_without_the_token_nothing_is_shown(browser: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        answer = await browser.request(method, ROOT + path)
        assert answer.status_code == 401
    assert (await browser.get(f"{ROOT}{path}?token=guess")).status_code == 403
    assert (await browser.get(ROOT + path, headers={"cookie": f"{ACCESS.cookie}=guess"})).status_code == 401
    assert (await browser.get(ROOT + path, headers={"cookie": 'x="\\'})).status_code == 401


async def test_a_post_with_the_token_in_its_url_does_not_get_in(browser: httpx.AsyncClient) -> None:
    assert (await browser.post(f"{ROOT}privacy?token={TOKEN}")).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "insource.attacker.test"])
async def test_a_rebound_name_is_refused(browser: httpx.AsyncClient, host: str) -> None:
    answer = await browser.get(ROOT, headers={**COOKIE, "host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
async def test_other_sites_are_refused(browser: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await browser.get(ROOT, headers={**COOKIE, **headers})).status_code == 403


def _form(**fields: str) -> dict[str, str]:
    return {FORM_FIELD: ACCESS.form_token, **fields}


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, _form()),
        ({"origin": "null"}, _form()),
        ({"origin": "http://127.0.0.1:9999"}, _form()),
        ({"origin": BASE}, {}),
        ({"origin": BASE}, {FORM_FIELD: "guess"}),
        ({"origin": BASE}, {FORM_FIELD: Access("earlier").form_token}),
    ],
)
async def test_a_form_from_elsewhere_is_refused(
    browser: httpx.AsyncClient, services: Services, headers: dict[str, str], form: dict[str, str]
) -> None:
    before = services.registry.revision()
    answer = await browser.post(f"{ROOT}tasks/task-1/rollback", headers={**COOKIE, **headers}, data=form)
    assert answer.status_code == 403
    assert services.registry.revision() == before


async def test_every_answer_keeps_the_page_to_itself(browser: httpx.AsyncClient) -> None:
    for path, headers in (("", COOKIE), ("", {}), ("nothing", COOKIE), ("static/dashboard.css", {})):
        answer = await browser.get(ROOT + path, headers=headers)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


async def test_the_cookie_and_the_token_never_go_to_the_provider() -> None:
    """The cookie's path is below insource's own paths, so a browser sends it to nothing that is passed on."""
    assert f"Path={ROOT}" in ACCESS.set_cookie()
    assert ROOT.startswith("/insource/")


async def test_an_empty_store_names_the_next_command(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(ROOT, headers=COOKIE)
    assert answer.status_code == 200
    assert "insource import" in answer.text
    assert "insource tasks" in answer.text


async def test_unknown_pages_say_so(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"{ROOT}<script>", headers=COOKIE)
    assert answer.status_code == 404
    assert "<script>" not in answer.text.replace("<script src", "")
