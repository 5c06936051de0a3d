"""Who may use the gateway: programs on this machine, and what the user named. Pure.

A browser runs other people's pages, and the gateway may hold a key. Browsers say where a page comes from (`Origin`,
`Sec-Fetch-Site`) and which name they used (`Host`, which gives away DNS rebinding); the official clients send none of
the first two, so the guard is never in their way.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from insource.core.headers import Headers, header


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    allow_hosts: frozenset[str] = frozenset()
    """Names in lower case, without ports; `*` allows any."""
    allow_origins: frozenset[str] = frozenset()
    """As a browser sends them: `https://app.example`; `*` allows any."""
    network: bool = False
    """Other machines may reach it: then any address may stand in `Host`, because rebinding needs a name."""

    def objection(self, headers: Headers) -> str | None:
        """Why a request is refused, as a sentence; None: it is not."""
        host = header(headers, "host")
        if host is not None and not self._may_name(host):
            return f"The request names the host {host[:100]!r}, which is not this gateway's. Add it to allow_hosts."
        origin = header(headers, "origin")
        if origin is not None:
            if origin.rstrip("/").lower() in self.allow_origins or "*" in self.allow_origins:
                return None
            if host is not None and origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}"):
                return None  # the gateway's own page
            return f"A web page of {origin[:100]!r} may not use this gateway. Add it to allow_origins."
        site = (header(headers, "sec-fetch-site") or "").lower()
        if site in ("cross-site", "same-site") and "*" not in self.allow_origins:
            return "A web page of another site may not use this gateway. Add its origin to allow_origins."
        return None

    def _may_name(self, host: str) -> bool:
        name = _name_of(host)
        if name in self.allow_hosts or "*" in self.allow_hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.network


def _name_of(host: str) -> str:
    """Without the port and an IPv6 address's brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def listed(setting: str) -> frozenset[str]:
    """The values of a setting that separates them by commas."""
    return frozenset(part.strip().lower().rstrip("/") for part in setting.split(",") if part.strip())
