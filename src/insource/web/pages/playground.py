"""One prompt to several upstreams side by side. The page's script asks this gateway's own API, as any client would."""

from __future__ import annotations

from starlette.responses import Response

from insource.core.log_figures import LogSearch
from insource.web.desk import Ask, Desk
from insource.wire.chat import user_text


def show(desk: Desk, ask: Ask) -> Response:
    log = desk.services.exchanges.figures
    found = log.one(ask.query["exchange"]) if "exchange" in ask.query else None
    hosted = found[0] if found else next(iter(log.page(LogSearch(where="hosted"), most=1).exchanges), None)
    model = hosted.request.get("model") if hosted else None
    system = [m for m in (found[0].request.get("messages") or []) if _is_system(m)] if found else []
    return desk.page(
        "playground",
        here="playground",
        model=model if isinstance(model, str) else "",
        prompt=user_text(found[0].request) if found else "",
        system=str(system[0].get("content") or "") if system else "",
        candidates=desk.services.settings.engine_url or desk.services.settings.model,
    )


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"  # pyright: ignore[reportUnknownMemberType]
