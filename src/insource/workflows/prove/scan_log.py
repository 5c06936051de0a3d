"""Scanning the exchanges of the log that nobody scanned yet: a busy gateway leaves some to whoever reads them next."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

from insource.core.stores import ExchangeFilter
from insource.wire import json_text
from insource.workflows.services import Progress, Services, quiet

_BATCH = 500


def scan_log(services: Services, *, progress: Progress = quiet) -> int:
    """Returns how many were scanned. What is found is written batch by batch, so stopping loses nothing.

    Requests whose bodies were not kept can't be scanned any more and stay as they are.
    """
    unscanned = services.exchanges.read(ExchangeFilter(unscanned=True))
    waiting = (item for item in unscanned if item.request.keys() - {"model"})
    done = 0
    with closing(services.make_scan()) as scan:
        while batch := list(islice(waiting, _BATCH)):
            found = scan.kinds_of([json_text.encode(item.request) for item in batch])
            services.exchanges.set_private_kinds(dict(zip((item.id for item in batch), found, strict=True)))
            done += len(batch)
            progress("Scanning for private data", done, None)
    return done
