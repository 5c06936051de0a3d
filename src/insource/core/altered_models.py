"""Words of a name, and tags, that say that a model is not its original any more: its refusals were removed, or experts
were cut out. Such a model is offered and taken only where it is asked for by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ALTERED_WORDS = re.compile(
    r"""(?<![a-z0-9])(?:abliterat\w* | ablat\w* | lorablated | obliterat\w* | heretic\w* | heresy | uncensored
        | decensored | derestricted | unfiltered | biprojected | norm-preserved)(?:-v\d+(?:\.\d+)?)?(?![a-z0-9])""",
    re.VERBOSE,
)
"""Of a name in lower case."""
TELLING_TAGS = (
    r"abliterat\w*|uncensored|decensored|heretic|obliterat\w*|derestricted|unfiltered|lora-merge|.*expert pruning|reap"
)
"""Of a whole tag in lower case; in the little of regular expressions that a database understands too."""


def is_altered(id: str) -> bool:
    """Its name says so; an owner's name says nothing."""
    return altered_word(id) != ""


def altered_word(id: str) -> str:
    """The word of the name that says so; "" where none does."""
    found = ALTERED_WORDS.search(id.rpartition("/")[2].lower().replace(" ", "-"))
    return found[0] if found else ""


def tells_altered(tags: Iterable[str]) -> bool:
    return any(re.fullmatch(TELLING_TAGS, tag.lower()) for tag in tags)
