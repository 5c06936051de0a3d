"""The process that serves: a socket, uvicorn, an orderly end. Loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from insource.config import secret
from insource.core.cores import usable_cores
from insource.core.errors import UsageError
from insource.core.evidence import Event
from insource.core.scanning import Examined, ScanJob
from insource.core.values import Exchange, JsonObject
from insource.gateway.app import Surface, build_app
from insource.gateway.guard import Guard, listed
from insource.gateway.http import Asgi
from insource.gateway.metrics import Metrics
from insource.gateway.own_pages import OwnPages
from insource.providers.prices import price_usd
from insource.routing.share import SharePlan
from insource.workflows.serve.ask_again import AskAgain
from insource.workflows.serve.check_privacy import PrivacyCheck
from insource.workflows.serve.conversations import Conversations
from insource.workflows.serve.feedback import take_feedback
from insource.workflows.serve.handle_request import Joints, RequestHandler
from insource.workflows.serve.live_policy import LivePolicy
from insource.workflows.serve.load_routing import live_routing
from insource.workflows.serve.record_exchange import Recorder
from insource.workflows.serve.scans import Found, Scans
from insource.workflows.serve.shadow import Shadows
from insource.workflows.serve.share import Shares
from insource.workflows.services import Services

if TYPE_CHECKING:
    from insource.workflows.watch.tell import Webhook
    from insource.workflows.watch.watcher import Watcher

_SWITCH_SECONDS = 0.0005
_GRACE_SECONDS = 10
"""How long answers under way may take after the signal to end."""
_LOOK_SECONDS = 0.5


class GatewayServer(uvicorn.Server):
    """uvicorn, which says when it listens and leaves the rest of the shutdown to us instead of dying of its signal."""

    def __init__(self, config: uvicorn.Config, *, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Python lets a thread run 5 ms before another may; the log's writer must not hold up answers for that long.
        sys.setswitchinterval(_SWITCH_SECONDS)
        # What is loaded now stays; the collector need not look at it again while requests wait.
        gc.freeze()
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything is loaded. Raises UsageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"Port {port} on {host} is in use.", next_step="End what uses it, or take any free port: `--port 0`."
            ) from error
        raise UsageError(
            f"Can't listen on {host!r} port {port}: {error}.", next_step="Use 127.0.0.1 and a free port: `--port 0`."
        ) from error
    return listener


def make_server(app: Asgi, *, on_ready: Callable[[], None] = lambda: None) -> GatewayServer:
    """Run it with `run(sockets=[bind(...)])`; end it by a signal, or by setting `should_exit`."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return GatewayServer(config, on_ready=on_ready)


def serve(app: Asgi, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Blocks until SIGINT or SIGTERM; `on_ready` gets the base URL. Raises UsageError when the port is taken."""
    listener = bind(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    make_server(app, on_ready=lambda: on_ready(url)).run(sockets=[listener])


def gateway_app(services: Services, *, dashboard: Asgi | None = None) -> Asgi:
    """The gateway over a set of services."""
    settings, policy = services.settings, LivePolicy(services)
    metrics = Metrics(waiting=lambda: services.writer_health().waiting)
    scans = Scans(services.make_scan, processes=settings.scan_processes or min(usable_cores(), 4))
    routing = live_routing(services)
    forward_key = secret(settings.provider_key_env) is None
    plan = SharePlan(share=settings.share, usd_per_day=settings.share_usd_per_day)
    shares = Shares(plan, services.clock, knows_today=False)
    conversations = Conversations()
    recorder = _recorder(services, metrics, policy=policy, scans=scans)
    privacy = PrivacyCheck(policy=policy.current, scan=scans.examine, forward_headers=listed(settings.forward_headers))
    handler = RequestHandler(
        Joints(
            provider=services.provider,
            provider_url=settings.provider_url.rstrip("/").removesuffix("/v1"),
            routing=routing,
            recorder=recorder,
            privacy=privacy,
            forward_key=forward_key,
            shadows=Shadows(most=settings.slots),
            shares=shares,
            conversations=conversations,
            may_switch=settings.conversations_switch,
        ),
        scans=scans,
    )
    asking = AskAgain(
        provider=services.provider,
        has_key=not forward_key,
        privacy=privacy,
        recorder=recorder,
        shares=shares,
        state=lambda: routing.current,
    )
    return build_app(
        Surface(
            background=(_watch(services, asking, conversations),),
            handler=handler,
            routing=routing,
            provider=services.provider,
            metrics=metrics,
            own=OwnPages(
                routing=routing,
                metrics=metrics,
                feedback=lambda body: take_feedback(services, body),
                policy=policy.current,
                log_health=lambda: _log_health(services),
                dashboard=dashboard,
            ),
            guard=Guard(
                allow_hosts=listed(settings.allow_hosts),
                allow_origins=listed(settings.allow_origins),
                network=settings.allow_network,
            ),
        )
    )


def _recorder(services: Services, metrics: Metrics, *, policy: LivePolicy, scans: Scans) -> Recorder:
    return Recorder(
        clock=services.clock,
        record=_recording(services, metrics, policy=policy, scans=scans),
        price=price_usd,
        bodies=services.settings.log_bodies,
        note=_noting(services, metrics),
    )


def _watch(services: Services, asking: AskAgain, conversations: Conversations) -> Callable[[], Awaitable[None]]:
    """Loaded once there is a move to watch, in a thread: what it computes with takes a third of a second and 24 MB."""

    async def watch() -> None:
        url = services.settings.webhook_url
        while not (url or asking.state().table.moves):  # noqa: ASYNC110 - see below
            await asyncio.sleep(_LOOK_SECONDS)  # the table is replaced as a whole, and nobody signals it
        watcher, webhook = await asyncio.to_thread(_load_watcher)
        await watcher(
            services=services, asking=asking, conversations=conversations, webhook=webhook(url) if url else None
        ).run()

    return watch


def _load_watcher() -> tuple[type[Watcher], type[Webhook]]:
    from insource.workflows.watch.tell import Webhook
    from insource.workflows.watch.watcher import Watcher

    return Watcher, Webhook


def _recording(
    services: Services, metrics: Metrics, *, policy: LivePolicy, scans: Scans
) -> Callable[[Exchange, bytes], None]:
    """Records an exchange; what is private in a request that nobody scanned is found out afterwards, off the way."""

    def record(exchange: Exchange, body: bytes) -> None:
        services.record(exchange)
        metrics.observe(exchange)
        if exchange.private_kinds is not None:
            metrics.count_private(exchange.private_kinds)
        elif body and not exchange.marks.is_extra:
            task_id = None if exchange.route is None else exchange.route.task_id
            scans.offer(ScanJob(body=body, policy=policy.current(), task_id=task_id), noting(exchange.id))

    def noting(exchange_id: str) -> Found:  # of the id alone: what waits for its scan must not hold the exchange too
        def found(examined: Examined) -> None:
            services.note_scan(exchange_id, examined.names)
            metrics.count_private(examined.names)

        return found

    return record


def _noting(services: Services, metrics: Metrics) -> Callable[[Event], None]:
    def note(event: Event) -> None:
        metrics.count_action(str(event.figures.get("action")))
        services.note(event)

    return note


def _log_health(services: Services) -> JsonObject:
    health = services.writer_health()
    error = None if health.error is None else health.error.message
    return {"written": health.written, "waiting": health.waiting, "dropped": health.dropped, "error": error}


def serve_until_stopped(services: Services, *, dashboard: Asgi | None, on_ready: Callable[[str], None]) -> None:
    """The gateway with the dashboard, until interrupted. Closing the services then writes what was recorded."""
    settings = services.settings
    require_loopback(settings.host, allow_network=settings.allow_network)
    app = gateway_app(services, dashboard=dashboard)
    serve(app, host=settings.host, port=settings.port, on_ready=on_ready)


def require_loopback(host: str, *, allow_network: bool) -> None:
    """Raises UsageError for an address that other machines can reach, unless the user said that they may."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback or allow_network:
        return
    raise UsageError(
        f"{host!r} can be reached from other machines: whoever reaches it can spend your API key and ask your models. "
        "Only the dashboard asks who is there.",
        next_step="Keep 127.0.0.1, or say `--allow-network` behind a proxy that checks who asks (docs/operate.md).",
    )
