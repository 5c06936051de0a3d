"""When a whole task is pinned: its requests stay on the machine although not each was found to be private. Pure."""

from __future__ import annotations

from insource.stats.intervals import clopper_pearson


def pin_reason(*, private: int, exchanges: int, pin_share: float, confidence: float) -> str | None:
    """Why a task is pinned, or None.

    A detector misses some personal data. Where surely more than `pin_share` of a task's requests hold some, the task
    is about people, and the requests in which nothing was found can't be trusted to hold none. "Surely": the lower
    end of the exact interval lies above `pin_share`, so a handful of requests never pins a task by chance.
    """
    if exchanges == 0:
        return None
    low = clopper_pearson(private, exchanges, confidence=confidence).low
    if low <= pin_share:
        return None
    return (
        f"Personal data or secrets were found in {private:,} of {exchanges:,} requests ({private / exchanges:.1%}; "
        f"surely more than {low:.1%}, and {pin_share:.0%} is enough to keep the whole task on this machine)."
    )
