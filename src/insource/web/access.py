"""Who may see the dashboard: whoever has the token that `insource serve` printed. Pure but for drawing the token.

The URL with the token is opened once; from then on a cookie carries it, which no script can read (HttpOnly) and no
other site can make a browser send (SameSite=Strict). A form carries a value made from the token as well, and names
its own page as its origin. `gateway/guard.py` has checked `Host` and `Origin` before any of this.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

ROOT = "/insource/ui/"
"""Of all pages and of the cookie, which therefore never goes out with a request to the provider."""
TOKEN = "token"
FORM_FIELD = "form_token"
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not "no-referrer": with that a browser sends forms with the origin "null".
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


def new_token() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Access:
    token: str

    @property
    def cookie(self) -> str:
        """Its name. Cookies know no ports: two gateways of one machine would take each other's away."""
        return f"insource-{hashlib.sha256(self.token.encode()).hexdigest()[:12]}"

    @property
    def form_token(self) -> str:
        return hmac.new(self.token.encode(), b"form", "sha256").hexdigest()

    def set_cookie(self) -> str:
        return f"{self.cookie}={self.token}; Path={ROOT}; HttpOnly; SameSite=Strict"

    def is_token(self, given: str) -> bool:
        return _same(given, self.token)

    def knows(self, cookies: str | None) -> bool:
        """Whether the `Cookie` header holds the token."""
        try:
            found = SimpleCookie(cookies or "").get(self.cookie)
        except CookieError:
            return False
        return found is not None and self.is_token(found.value)

    def form_objection(self, *, origin: str | None, host: str | None, form: Mapping[str, str]) -> str | None:
        """Why a form is refused, as a sentence; None: it is not. Browsers name the origin of every form they send."""
        own = {f"http://{(host or '').lower()}", f"https://{(host or '').lower()}"}
        if origin is None or host is None or origin.lower() not in own:
            return "This form was not sent from a page of this dashboard."
        if not _same(form.get(FORM_FIELD, ""), self.form_token):
            return "This form belongs to an earlier start of insource. Open its page again."
        return None


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode())
