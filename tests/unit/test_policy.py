"""The policy as a value, its file, and what counts under it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput, UsageError
from insource.core.fakes import FakeDetector
from insource.core.policy import (
    ACTIONS,
    ALL,
    KEEP_HERE,
    UNREADABLE,
    UNSCANNED,
    WATCH,
    Action,
    Allowed,
    Policy,
    Rule,
)
from insource.core.scanning import Examined, Masked, Placeholders, ScanJob
from insource.core.values import PrivacySpan
from insource.routing.policy_edit import Changes, changed, unknown_kinds
from insource.routing.policy_file import parse_policy, render_policy
from insource.traffic.request_scan import body_kinds, examine
from insource.traffic.sieve import Sieve
from insource.workflows.serve.check_privacy import checked

KINDS = ("email", "phone", "secret", UNREADABLE)
rules = st.builds(Rule, action=st.sampled_from(ACTIONS), confidence=st.none() | st.floats(0, 1))
kinds_drawn = st.dictionaries(st.sampled_from((*KINDS, ALL)), rules, max_size=5)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda text: bool(text.replace("*", " ").strip())
)
lists = st.lists(texts, max_size=3).map(tuple)
policies = st.builds(
    Policy,
    kinds=kinds_drawn,
    words=st.dictionaries(st.sampled_from(["health", "project"]), lists, max_size=2),
    allow=st.builds(Allowed, addresses=lists, domains=lists, roles=lists, patterns=st.just((r"ACME-\d+", "'\"\\\\x"))),
    tasks=st.dictionaries(texts, kinds_drawn, max_size=2),
)
found_drawn = st.lists(st.sampled_from((*KINDS, UNSCANNED, "novel")), max_size=4, unique=True)


@given(policies)
def test_a_file_gives_back_its_policy(policy: Policy) -> None:
    assert parse_policy(render_policy(policy)) == policy


@given(policies, found_drawn)
def test_the_strictest_of_what_was_found_is_done(policy: Policy, found: list[str]) -> None:
    applied = policy.rules(None)
    action = applied.action(found)
    each = [applied.of(kind).action for kind in found]
    assert action == ("watch" if not each else max(each, key=ACTIONS.index))
    assert applied.action([*found, *found]) == action


@given(policies, st.sampled_from([None, "t"]))
def test_a_failed_scan_is_the_strictest_action_and_watching_never_refuses(policy: Policy, task: str | None) -> None:
    applied = policy.rules(task)
    failed = applied.action([UNSCANNED])
    assert all(ACTIONS.index(rule.action) <= ACTIONS.index(failed) for rule in applied.kinds.values())
    if not policy.acts:
        assert applied.action([*KINDS, UNSCANNED, "novel"]) == "watch"


@given(policies, found_drawn)
def test_a_task_that_is_not_known_gets_the_strictest_of_all_exceptions(policy: Policy, found: list[str]) -> None:
    unknown = policy.rules(None, task_known=False).action(found)
    for task in (None, *policy.tasks):
        assert ACTIONS.index(policy.rules(task).action(found)) <= ACTIONS.index(unknown)


def test_all_means_what_can_be_found_and_not_what_can_not_be_read() -> None:
    mask = Policy(kinds={ALL: Rule(action="mask")}).rules(None)
    assert [mask.of(kind).action for kind in ("email", "novel", UNREADABLE)] == ["mask", "mask", "watch"]
    here = KEEP_HERE.rules(None)
    assert {here.of(kind).action for kind in (*KINDS, UNSCANNED)} == {"local"}
    assert not WATCH.acts


def test_exceptions_replace_what_they_name() -> None:
    policy = Policy(kinds={"email": Rule(action="mask")}, tasks={"t": {"email": Rule(), "phone": Rule(action="local")}})
    assert [policy.rules(task).action(["email"]) for task in (None, "t")] == ["mask", "watch"]
    assert [policy.rules(task).action(["phone"]) for task in (None, "t")] == ["watch", "local"]
    assert policy.acts


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("masked", [None, Masked(body=b"{}", placeholders=Placeholders(values=(("EMAIL", "x"),)))])
def test_a_mask_that_failed_is_a_refusal(action: Action, masked: Masked | None) -> None:
    job = ScanJob(body=b"{}", policy=Policy(kinds={"email": Rule(action=action)}))
    said = checked(job, Examined(kinds={"email": 1}, masked=masked))
    assert said.action == ("refuse" if action == "mask" and masked is None else action)
    assert (said.masked is masked) if action == "mask" else said.masked is None
    assert ("email" in said.reason) is (said.action != "watch")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kinds]\nemail = 'hide'", "the action of kinds.email is 'hide'"),
        ("[kinds]\nunscanned = 'watch'", "a failed scan always gets"),
        ("[kinds]\nemail = { action = 'mask', confidence = 2 }", "not between 0 and 1"),
        ("[kinds]\nemail = { action = 'mask', confidence = true }", "not a number"),
        ("[kinds]\nemail = { act = 'mask' }", "neither an action"),
        ("[kinds]\n'E mail' = 'mask'", "small letters"),
        ("[kind]\nemail = 'mask'", "no section 'kind'"),
        ("kinds = 3", "not a section"),
        ("[allow]\ndomain = []", "no entry 'domain'"),
        ("[allow]\npatterns = ['(']", "not a regular expression"),
        ("[allow]\nroles = 'support'", "not a list"),
        ("[words]\nhealth = ['*']", "would match everything"),
        ("[kinds", "not TOML"),
    ],
)
def test_a_slip_is_named(text: str, said: str) -> None:
    with pytest.raises(BadInput, match="privacy policy is wrong") as caught:
        parse_policy(text)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("ada@example.com", True),
        ("ADA@Mail.Example.COM", True),
        ("ada%40example.com", True),
        ("ada [at] example.com", True),
        ("ada@example.company", False),
        ("ada@notexample.com", False),
        ("bob@home.org", True),
        ("rob@home.org", False),
        ("support@anybody.org", True),
        ("support+de@anybody.org", True),
        ("supporter@anybody.org", False),
        ("10.0.3.7", True),
        ("11.0.3.7", False),
        ("fd00::1", True),
        ("ACME-123", True),
        ("ACME-123x", False),
        ("", False),
    ],
)
def test_what_is_on_the_allow_list_does_not_count(value: str, allowed: bool) -> None:
    allow = Allowed(
        addresses=("Bob@home.org", "10.0.0.0/8", "fd00::/8"),
        domains=("example.com",),
        patterns=(r"ACME-\d+",),
        roles=("support",),
    )
    policy = Policy(allow=allow)
    span = PrivacySpan(start=0, end=len(value), kind="email", confidence=1.0)
    assert Sieve(policy).counts(span, value, policy.rules(None)) is not allowed


def test_what_only_looks_private_does_not_count() -> None:
    policy = Policy(kinds={ALL: Rule(action="mask", confidence=0.7), "phone": Rule(action="mask", confidence=0.3)})
    sieve, applied = Sieve(policy), policy.rules(None)

    def counts(kind: str, confidence: float) -> bool:
        return sieve.counts(PrivacySpan(start=0, end=1, kind=kind, confidence=confidence), "x", applied)

    assert [counts("email", 0.69), counts("email", 0.7), counts("phone", 0.3)] == [False, True, True]
    assert Policy().rules(None).least_confidence("email") == 0.6


def test_kinds_of_ones_own_are_found_by_words() -> None:
    policy = Policy(kinds={"health": Rule(action="local")}, words={"health": ("diagnos*", "blood pressure")})
    for text, found in (("My Diagnosis is", 1), ("blood\n pressure 120", 1), ("prediagnosis, bloodpressure", 0)):
        body = f'{{"messages": [{{"role": "user", "content": {text!r}}}]}}'.replace("'", '"').encode()
        kinds = examine(ScanJob(body=body, policy=policy), FakeDetector()).kinds
        assert kinds == ({"health": 1} if found else {}), text
    assert body_kinds(b'{"a": "diagnosis"}', FakeDetector()) == ()


def test_changes_are_made_as_they_are_said() -> None:
    policy = changed(WATCH, Changes(actions=("email=mask", "Secret=refuse"), confidences=("phone=0.9",)))
    assert policy.kinds == {
        "email": Rule(action="mask"),
        "secret": Rule(action="refuse"),
        "phone": Rule(action="watch", confidence=0.9),
    }
    more = Changes(
        words=("health=diagnos*, ill",),
        allow=("@acme.com", "a@b.org", "10.0.0.0/8", "+44 7700 900123"),
        roles=("info",),
    )
    policy = changed(policy, more)
    assert policy.words == {"health": ("diagnos*", "ill")}
    assert policy.allow == Allowed(
        addresses=("a@b.org", "10.0.0.0/8", "+44 7700 900123"), domains=("acme.com",), roles=("info",)
    )
    policy = changed(policy, Changes(actions=("all=local",), task_id="task-1"))
    assert policy.tasks == {"task-1": {ALL: Rule(action="local")}}
    assert unknown_kinds(policy, ["email", "phone"]) == ["secret"]
    for wrong in ("email", "email=", "=mask"):
        with pytest.raises(UsageError):
            changed(WATCH, Changes(actions=(wrong,)))
    with pytest.raises(UsageError, match="not an action"):
        changed(WATCH, Changes(actions=("email=hide",)))
