"""Licences of models by what they allow, so that a policy can name classes instead of two hundred spellings.

The ids are the Hub's (SPDX ids in lower case, and its own). A licence that is not in the table is `unknown`, however
friendly its name sounds: whoever knows better names it in the policy by its id. The classes follow the OSI's list,
Creative Commons' own terms, and what the makers of a model licence publish about it. None of this is legal advice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from insource.core.ecosystem import LicenceClass
from insource.core.errors import UsageError

CLASSES: tuple[LicenceClass, ...] = get_args(LicenceClass)
DEFAULT_POLICY = "permissive,open-model"

_TABLE: Mapping[LicenceClass, str] = {
    "permissive": """
        apache-2.0 mit bsd-2-clause bsd-3-clause bsd-3-clause-clear cc0-1.0 cc-by-4.0 cc-by-3.0 cc-by-2.0 cc-by-2.5 isc
        afl-3.0 ecl-2.0 ms-pl unlicense wtfpl zlib artistic-2.0 ncsa bsl-1.0 postgresql pddl cdla-permissive-1.0
        cdla-permissive-2.0 odc-by public-domain apache-license-2.0 mit-and-apache-2.0 mixed-mit-apache-2.0
        mit-apache-2.0-and-bsd-3-clause apache-2.0,mit""",
    "copyleft": """
        gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 agpl-3.0 mpl-2.0 osl-3.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2
        cc-by-sa-3.0 cc-by-sa-4.0 odbl gfdl cdla-sharing-1.0""",
    "open-model": """
        openmdw-1.0 openmdw-1.1 openmdw1.1-license modified-mit nvidia-open-model-license nvidia-open-model-agreement
        nvidia-open-model-license-agreement nvidia-nemotron-open-model-license jamba-open-model-license""",
    "community": """
        llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 llama-3 llama-3.1-community-license gemma lfm1.0 lfm-1.0
        lfm2.5-license lfm-open-license lfm-open-license-1.0 lfm-open-license-v1.0 qwen qwen-community-1.0
        qwen-community-license-1.0 tongyi-qianwen tongyi-qianwen-license-agreement falcon-llm-license
        falcon-mamba-7b-license deepseek deepseek-license minimax-community minimax-community-license
        tencent-hunyuan-community tencent-hunyuan-a13b tencent-hy-community tencent-hy-community-license
        upstage-solar-license health-ai-developer-foundations health-ai-developer-foundation yi-license glm-4
        plamo-community-license stepfun-community-license hyperclovax-seed seallms
        nxai-community-license krutrim-community-license-agreement-version-1.0 liquid-foundation-model-community-license
        polyform-small-business-1.0.0""",
    "behavioural": """
        openrail openrail++ bigscience-bloom-rail-1.0 bigscience-openrail-m bigcode-openrail-m creativeml-openrail-m
        hamo-rail-s-1.0 reve-responsible-use-license-v1.0""",
    "non-commercial": """
        cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
        cc-by-nc-sa-4.0 exaone qwen-research tongyi-qianwen-research apple-amlr apple-ascl fair-noncommercial-research
        fair-noncommercial-research-license mrl researchrail non-commercial-only non-commercial research-only
        polyform-noncommercial-1.0.0 polyform-strict-1-0-0 katanemo-research fish-audio-research-license nscl-v1 nsclv1
        customized-nscl-v1 nvidia-non-commercial minimax-m2.7-non-commercial msrla microsoft-research-license
        intel-research
        nvidia-internal-scientific-research-and-development-model-license flux-non-commercial-license
        chameleon-research-license deepseek-research-license cc-by-4.0-weights-non-commercial-data""",
    "proprietary": "proprietary closed-beta private-research-checkpoint blackfrost-commercial",
    "unknown": "other unknown custom",
}
_CLASS_OF: Mapping[str, LicenceClass] = {id: name for name, ids in _TABLE.items() for id in ids.split()}
_SAYS_NO = re.compile(r"non-?commercial|research-only|no-commercial|(?<![a-z])nc(?![a-z])")


def licence_class(license: str | None) -> LicenceClass:
    """Of a licence's id or SPDX expression (OR: the freest, AND: the strictest); of several ("llama3.3,gemma") the
    class that is least often allowed. Without the extra `hub` an expression is `unknown`."""
    if license is None:
        return "unknown"
    if _IS_EXPRESSION.search(license):
        return _expression_class(license)
    id = license.strip().lower().replace(" ", "-")
    if id in _CLASS_OF:
        return _CLASS_OF[id]
    parts = [part.strip() for part in id.split(",") if part.strip()]
    if len(parts) > 1:
        return CLASSES[max(CLASSES.index(licence_class(part)) for part in parts)]
    return "non-commercial" if _SAYS_NO.search(id) else "unknown"


_IS_EXPRESSION = re.compile(r"\s(?:OR|AND|WITH)\s", re.IGNORECASE)
_LONGEST_EXPRESSION = 400
"""Characters; the card of a stranger must not nest the parser out of its stack."""


@lru_cache(maxsize=4096)
def _expression_class(text: str) -> LicenceClass:
    try:
        from license_expression import ExpressionError, ExpressionParseError, Licensing, ParseError
    except ImportError:
        return "unknown"
    if len(text) > _LONGEST_EXPRESSION:
        return "unknown"
    licensing = Licensing()
    try:
        parsed = licensing.parse(text)
    except (ExpressionError, ExpressionParseError, ParseError):
        return "unknown"

    def rank(node: Any) -> int:
        if isinstance(node, (licensing.OR, licensing.AND)):
            ranks = [rank(part) for part in node.args]
            return min(ranks) if isinstance(node, licensing.OR) else max(ranks)
        # An exception ("GPL-2.0 WITH Classpath-exception-2.0") only ever allows more: the licence without it counts.
        return CLASSES.index(licence_class(str(getattr(node, "license_symbol", node))))

    return "unknown" if parsed is None else CLASSES[rank(parsed)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LicencePolicy:
    """What may be used here: classes, and single licences by their id."""

    classes: frozenset[LicenceClass]
    ids: frozenset[str]
    refused: frozenset[str] = frozenset()
    """Ids that are refused though their class is allowed."""

    def allows(self, license: str | None) -> bool:
        if license is not None and license.strip().lower() in self.refused:
            return False
        return licence_class(license) in self.classes or (license is not None and license.lower() in self.ids)

    def __str__(self) -> str:
        refused = (f"not {id}" for id in sorted(self.refused))
        return ",".join([*(name for name in CLASSES if name in self.classes), *sorted(self.ids), *refused])


def parse_policy(text: str) -> LicencePolicy:
    """`permissive,community,qwen-research`: names of classes and ids of licences; or a path that ends in `.toml`, with
    the lists `allow` and `refuse`. Raises UsageError."""
    if text.strip().endswith(".toml"):
        return _read_policy(Path(text.strip()))
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    classes = frozenset[LicenceClass](name for name in CLASSES if name in words)
    ids = frozenset(word for word in words if word not in CLASSES)
    strangers = sorted(id for id in ids if id not in _CLASS_OF and not _is_id(id))
    if strangers or not words:
        raise UsageError(
            f"The licence policy {text!r} names {repr(strangers[0]) + ', which is not an id' if words else 'nothing'}.",
            next_step=f"Name classes ({', '.join(CLASSES)}) or the Hub's licence ids, separated by commas.",
        )
    return LicencePolicy(classes=classes, ids=ids)


def _read_policy(path: Path) -> LicencePolicy:
    def refuse(why: str) -> UsageError:
        return UsageError(
            f"The licence policy {str(path)!r} {why}.",
            next_step='Write allow = ["permissive", "llama3.1"] and, if need be, refuse = ["bsl-1.0"].',
        )

    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise refuse(f"can't be read: {error}") from error
    lists = {name: table.pop(name, []) for name in ("allow", "refuse")}
    if table:
        raise refuse(f"has the unknown entry {sorted(table)[0]!r}")
    for name, words in lists.items():
        if not isinstance(words, list) or not all(isinstance(word, str) and "," not in word for word in words):
            raise refuse(f"has no list of words as {name!r}")
    allowed = parse_policy(",".join(lists["allow"]))
    refused = frozenset(str(word).strip().lower() for word in lists["refuse"])
    classes = allowed.classes - frozenset[LicenceClass](name for name in CLASSES if name in refused)
    return LicencePolicy(classes=classes, ids=allowed.ids, refused=refused - frozenset(CLASSES))


def _is_id(word: str) -> bool:
    """Looks like a licence's id: a version or a hyphen tells it from a misspelt class."""
    return re.fullmatch(r"[a-z0-9][a-z0-9.+_-]{1,80}", word) is not None and any(c in word for c in "-.0123456789")


def licences_by_class(licenses: Iterable[str | None]) -> dict[LicenceClass, int]:
    """How many of each, in the order of `CLASSES`; for a report."""
    counts: dict[LicenceClass, int] = dict.fromkeys(CLASSES, 0)
    for license in licenses:
        counts[licence_class(license)] += 1
    return {name: count for name, count in counts.items() if count}
