"""What changes on the way to the provider and back: almost nothing, and all of it here. Pure.

Behind stay the headers of a connection, `Host`, cookies both ways and ours; under a privacy policy all that are not
known to be of use; a redirect into the provider's base URL comes back as one to the gateway, because a client that
followed it would leave the gateway behind.
"""

from __future__ import annotations

from insource.core.headers import Headers, header, without
from insource.providers.openai_compatible import KEY_HEADERS
from insource.wire.client import HOP_BY_HOP

OURS = "x-insource-"
_STAYS = HOP_BY_HOP | {"host", "cookie", "content-length", "expect"}
_OF_CLIENTS = frozenset(
    {
        *KEY_HEADERS,
        *("accept", "accept-encoding", "content-encoding", "content-length", "content-type", "user-agent"),
        *("idempotency-key", "openai-beta", "openai-organization", "openai-project", "anthropic-beta"),
        *("anthropic-version", "anthropic-dangerous-direct-browser-access", "x-client-request-id", "x-app"),
    }
)
"""What the official clients send and providers act on."""
_OF_CLIENTS_BEGIN = "x-stainless-"
_STAYS_BACK = HOP_BY_HOP | {"set-cookie", "set-cookie2"}


def to_provider(headers: Headers, *, with_key: bool, length_known: bool) -> Headers:
    """A request's headers as they go out. `with_key`: the client's own key goes along. `length_known`: a whole body
    is here, so its length is stated anew; without one the client's own statement stays."""
    connection = header(headers, "connection") or ""
    stays = _STAYS | {name.strip().lower() for name in connection.split(",")}
    if not length_known:
        stays = stays - {"content-length"}
    kept = tuple(
        pair
        for pair in without(headers, stays)
        if not pair[0].lower().startswith(OURS) and (with_key or pair[0].lower() not in KEY_HEADERS)
    )
    # Without the header a server may choose any encoding; a client that names none expects none.
    return kept if header(kept, "accept-encoding") is not None else (*kept, ("accept-encoding", "identity"))


def only_known(headers: Headers, also: frozenset[str]) -> Headers:
    """Those that go to a provider under a privacy policy: a header of an identity proxy says who asks."""
    return tuple(
        pair
        for pair in headers
        if (name := pair[0].lower()) in _OF_CLIENTS or name in also or name.startswith(_OF_CLIENTS_BEGIN)
    )


def to_client(headers: Headers, *, base_url: str, own_url: str) -> Headers:
    """An answer's headers as they come back. `own_url`: the gateway's, as the client reached it."""
    kept = tuple(pair for pair in without(headers, _STAYS_BACK) if not pair[0].lower().startswith(OURS))
    return tuple(
        (name, relocated(value, base_url=base_url, own_url=own_url) if name.lower() == "location" else value)
        for name, value in kept
    )


def relocated(location: str, *, base_url: str, own_url: str) -> str:
    base = base_url.rstrip("/")
    under = base and (location == base or location.startswith((base + "/", base + "?")))
    return own_url.rstrip("/") + location[len(base) :] if under else location
