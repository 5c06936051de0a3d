"""The user's values back in answers: as models mangle placeholders, in JSON of any depth, in streams cut anywhere."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from insource.core.scanning import Placeholders, ScanJob
from insource.core.values import JsonObject
from insource.traffic.privacy import PatternDetector
from insource.traffic.request_scan import examine
from insource.traffic.restoring import Restored, TextRestorer, restore_json
from insource.traffic.restoring_stream import StreamRestorer
from insource.wire.sse import assemble, completion_to_sse, format_event, parse
from insource.wire.wholeness import judge
from tests.unit.test_masking import CHAT, MASK

MAIL, SECRET, KEY = "ada@lovelace-mail.org", 'hun"ter\\2', "-----BEGIN KEY-----\nabc\n-----END KEY-----"
KNOWN = Placeholders(values=(("EMAIL", MAIL), ("SECRET", SECRET), ("NATIONAL_ID", "AB 12"), ("SECRET", KEY)))


def restored(text: str, placeholders: Placeholders = KNOWN) -> str:
    """Whole, and the same in pieces of any size."""
    whole = TextRestorer(Restored(placeholders)).feed(text, last=True)
    for size in (1, 2, 3, 5, 8, 40):
        pieces = TextRestorer(Restored(placeholders))
        got = [pieces.feed(text[at : at + size]) for at in range(0, len(text), size)]
        assert "".join([*got, pieces.feed("", last=True)]) == whole, size
    return whole


@pytest.mark.parametrize(
    "spelled",
    [
        *("[PII_EMAIL_1]", "[pii_email_1]", "[Pii_Email_1]", "PII_EMAIL_1", "pii email 1", "[PII_EMAIL_01]"),
        *(
            "[ PII_EMAIL_1 ]",
            "[PII-EMAIL-1]",
            "[PII EMAIL 1]",
            r"[PII\_EMAIL\_1]",
            r"\[PII\_EMAIL\_1\]",
            "【PII_EMAIL_1】",
        ),
        *(
            "[PII_\nEMAIL_1]",
            "[PII_E\u00admail_1]",
            "[PII\u200b_EMAIL_1]",
            "[PII_EMAIL_١]",
            "[PII＿EMAIL＿1]",
            "PIIEMAIL1",
        ),
        *("[PII_E-MAIL_1]", "[PII_CORREO_1]", "[PII_ADRESSE-MAIL_1]", "[PII_邮箱_1]"),
    ],
)
def test_a_mangled_placeholder_is_recognised(spelled: str) -> None:
    for before, after in (
        ("Write to ", " now."),
        ("", ""),
        ("„", "“"),
        ('"', '",'),
        ("**", "**"),
        ("(", ")"),
        ("`", "`"),
    ):
        assert restored(before + spelled + after) == before + MAIL + after


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("[PII_EMAIL_9]", 1),
        ("[PII_SECRET_1]", 1),
        ("[DCP_CORREO_1]", 1),
        ("[PII_EMAIL_11]", 1),
        ("PII and the 3 rules, PII in section 2", 0),
        ("[STEP_1] [1] [see 2]", 0),
        ("P, PI, PII. Pii", 0),
    ],
)
def test_what_stands_for_nothing_stays_and_is_counted(text: str, lost: int) -> None:
    found = Restored(KNOWN)
    assert TextRestorer(found).feed(text, last=True) == text == restored(text)
    assert (found.count, len(found.lost)) == (0, lost)


def test_several_stand_side_by_side_in_any_order() -> None:
    assert restored("[PII_SECRET_2][PII_EMAIL_1], PII_NATIONAL_ID_3/PII_EMAIL_1") == f"{SECRET}{MAIL}, AB 12/{MAIL}"
    assert restored("[PII_EMAIL_1, PII_NATIONAL_ID_3]") == f"[{MAIL}, AB 12]"
    assert restored(r"C:\[PII_NATIONAL_ID_3]\x") == r"C:\AB 12\x"
    assert (
        restored("https://x/?to=%5BPII_EMAIL_1%5D&y=PII_EMAIL_1") == f"https://x/?to=ada%40lovelace-mail.org&y={MAIL}"
    )


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("value", [1, 2, 4])
def test_json_of_any_depth_stays_json(depth: int, value: int) -> None:
    wanted: Any = {"say": f"<{KNOWN.values[value - 1][1]}>", "also": [KNOWN.values[value - 1][1], 1.5]}
    label = KNOWN.values[value - 1][0]
    text = json.dumps({"say": f"<[PII_{label}_{value}]>", "also": [f"pii_{label}_{value}", 1.5]})
    for _ in range(depth):
        text = json.dumps({"inner": text, "prose": 'He said "no".'})
    found: Any = json.loads(restored(text))
    for _ in range(depth):
        found = json.loads(found["inner"])
    assert found == wanted


def test_prose_is_not_taken_for_json() -> None:
    assert restored('[note] He said "[PII_SECRET_2]"') == f'[note] He said "{SECRET}"'
    assert restored("[PII_SECRET_2] is it") == f"{SECRET} is it"
    assert restored("{name}: [PII_SECRET_2]") == f"{{name}}: {SECRET}"
    assert json.loads(restored('{"a": PII_SECRET_2, "b": [[PII_SECRET_2]]}')) == {"a": SECRET, "b": [SECRET]}


# ---------------------------------------------------------------------------------------------------------- streams

ARGUMENTS = json.dumps({"to": "[PII_EMAIL_1]", "body": json.dumps({"k": "PII_SECRET_4", "s": "x [PII_SECRET_2]"})})
TEXT = "Mail [pii_email_1], PII\\_EMAIL\\_1 or [PII_SECRET_2]: PI PII_NATIONAL_ID_3"
WANTED_TEXT = f"Mail {MAIL}, {MAIL} or {SECRET}: PI AB 12"
WANTED_ARGUMENTS = {"to": MAIL, "body": {"k": KEY, "s": f"x {SECRET}"}}


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def chat_stream(size: int) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: JsonObject, index: int = 0, finish: str | None = None) -> bytes:
        return format_event({**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    events = [chunk({"role": "assistant", "content": ""})]
    for piece in pieces(TEXT, size):
        events += [chunk({"content": piece}), chunk({"content": piece}, index=1)]
    call: JsonObject = {"index": 0, "id": "x", "type": "function", "function": {"name": "send", "arguments": ""}}
    events.append(chunk({"tool_calls": [call]}))
    events += [
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces(ARGUMENTS, size)
    ]
    events += [chunk({}, finish="tool_calls"), chunk({}, index=1, finish="stop")]
    return b": hello\n\n" + b"".join(events) + b"data: [DONE]\n\n"


def chat_read(data: bytes) -> tuple[str, Any]:
    choices = assemble([json.loads(event.data) for event in parse(data) if event.data != "[DONE]"])["choices"]
    assert [choice["finish_reason"] for choice in choices] == ["tool_calls", "stop"]
    assert choices[1]["message"]["content"] == WANTED_TEXT
    message = choices[0]["message"]
    assert message["role"] == "assistant"
    return message["content"], message["tool_calls"][0]["function"]["arguments"]


def completion_stream(size: int) -> bytes:
    events = [
        format_event({"choices": [{"index": 0, "text": piece, "finish_reason": None}]}) for piece in pieces(TEXT, size)
    ]
    events += [format_event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})]
    return b"".join(events) + b"data: [DONE]\n\n"


def completion_read(data: bytes) -> tuple[str, Any]:
    judged = judge("/v1/completions", 200, data)
    assert judged.flaw is None
    assert judged.response is not None
    return judged.response["choices"][0]["text"], None


def messages_stream(size: int) -> bytes:
    def event(kind: str, **more: Any) -> bytes:
        return b"event: " + kind.encode() + b"\n" + format_event({"type": kind, **more})

    thinking = {"type": "thinking_delta", "thinking": "about [PII_EMAIL_1]"}
    events = [event("message_start", message={"id": "m", "role": "assistant", "content": []})]
    events += [event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})]
    events += [event("content_block_delta", index=0, delta=thinking), event("content_block_stop", index=0)]
    events += [event("content_block_start", index=1, content_block={"type": "text", "text": ""}), event("ping")]
    events += [
        event("content_block_delta", index=1, delta={"type": "text_delta", "text": p}) for p in pieces(TEXT, size)
    ]
    events += [event("content_block_stop", index=1)]
    events += [
        event("content_block_start", index=2, content_block={"type": "tool_use", "id": "t", "name": "n", "input": {}})
    ]
    events += [
        event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": p})
        for p in pieces(ARGUMENTS, size)
    ]
    events += [event("content_block_stop", index=2), event("message_delta", delta={"stop_reason": "tool_use"})]
    return b"".join([*events, event("message_stop")])


def messages_read(data: bytes) -> tuple[str, Any]:
    judged = judge("/v1/messages", 200, data)
    assert judged.flaw is None
    assert judged.response is not None
    thinking, text, call = judged.response["content"]
    assert thinking["thinking"] == "about [PII_EMAIL_1]", "it is signed"
    assert all(f"event: {json.loads(e.data)['type']}".encode() in data for e in parse(data))
    return text["text"], call["partial_json"]


STREAMS: dict[str, tuple[Callable[[int], bytes], Callable[[bytes], tuple[str, Any]]]] = {
    "chat": (chat_stream, chat_read),
    "completions": (completion_stream, completion_read),
    "messages": (messages_stream, messages_read),
}


@pytest.mark.parametrize("size", [1, 3, 1000], ids="pieces of {}".format)
@pytest.mark.parametrize("dialect", STREAMS)
def test_a_stream_cut_at_every_byte_says_the_same(dialect: str, size: int) -> None:
    make, read = STREAMS[dialect]
    data = make(size)
    step = max(1, len(data) // 150)  # every byte of the short streams
    for cut in range(0, len(data), step):
        stream = StreamRestorer(Restored(KNOWN))
        got = stream.feed(data[:cut]) + stream.feed(data[cut : cut + 1]) + stream.feed(data[cut + 1 :]) + stream.end()
        text, arguments = read(got)
        assert text == WANTED_TEXT, cut
        if arguments is not None:
            found = json.loads(arguments)
            assert {**found, "body": json.loads(found["body"])} == WANTED_ARGUMENTS


def test_what_holds_nothing_passes_byte_for_byte() -> None:
    data = b': x\r\n\r\nid: 7\r\ndata: {"choices": [ {"index":0,"delta":{"content":"Hi. "}} ]}\r\n\r\n'
    data += b"retry: 3\n\ndata: [DONE]\n\n"
    stream = StreamRestorer(Restored(KNOWN))
    assert stream.feed(data) + stream.end() == data
    broken = b'data: {"choices": [{"del\n\ndata: nonsense [PII_EMAIL_1]\n\n'
    stream = StreamRestorer(Restored(KNOWN))
    assert stream.feed(broken) + stream.end() == broken


def test_a_stream_says_at_its_end_what_could_not_be_restored() -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "[PII_EMAIL_9] PII"}, "finish_reason": "stop"}]}
    stream = StreamRestorer(Restored(KNOWN))
    got = stream.feed(b"".join(completion_to_sse(answer, include_usage=False))) + stream.end()
    assert got.endswith(b"data: [DONE]\n\n: insource: 1 placeholders not restored\n\n")


# ----------------------------------------------------------------------------------- a conversation with a model

LANGUAGES = {
    "en": ("My address is {}, my phone {}.", "I wrote to {1} after I called {0}."),
    "de": ("Meine Adresse ist {}, Telefon {}.", "Ich habe {0} angerufen und an {1} geschrieben."),
    "fr": ("Mon adresse est {}, téléphone {}.", "J’ai écrit à {1} et appelé le {0}."),
    "zh": ("我的邮箱是 {} ，电话 {} 。", "我已写信给{1}，并致电{0}。"),
    "ar": ("بريدي {} وهاتفي {} .", "كتبت إلى {1} واتصلت بـ {0}."),
}
MANGLES: tuple[Callable[[str], str], ...] = (
    lambda p: p,
    str.lower,
    lambda p: p.strip("[]"),
    lambda p: f'"{p}"',
    lambda p: p.replace("_", "\\_"),
    lambda p: p.replace("EMAIL", "E-MAIL"),
)


def test_forty_values_in_ten_turns_of_five_languages_come_back() -> None:
    """The model repeats, re-orders, drops and mangles; what the client reads holds its own values only."""
    rng = random.Random(7)
    shown: list[JsonObject] = []
    values: list[str] = []
    for turn in range(10):
        question, answer = list(LANGUAGES.values())[turn % 5]
        mine = [(f"person{turn}{n}@lovelace-mail.org", f"+44 7700 900{turn}{n:02}") for n in range(2)]
        values += [value for pair in mine for value in pair]
        shown.append({"role": "user", "content": " ".join(question.format(*pair) for pair in mine)})
        body = json.dumps({"model": "m", "messages": shown}, ensure_ascii=False).encode()
        examined = examine(ScanJob(body=body, target=CHAT, policy=MASK), PatternDetector())
        assert examined.masked is not None
        sent = examined.masked.body.decode()
        assert not [value for value in values if value in sent]
        given = {value: f"[PII_{label}_{n}]" for n, (label, value) in enumerate(examined.masked.placeholders.values, 1)}
        mail, phone = mine[rng.randrange(2)]
        old = rng.choice(values)
        mangle = rng.choice(MANGLES)
        model = answer.format(mangle(given[phone]), mangle(given[mail])) + " " + given[old]
        text = TextRestorer(Restored(examined.masked.placeholders)).feed(model, last=True)
        quoted = ('"{}"' if '"' in mangle("[x]") else "{}").format
        assert text == answer.format(quoted(phone), quoted(mail)) + " " + old
        shown.append({"role": "assistant", "content": text})
    assert len(values) == 40


def test_whole_answers_keep_everything_else() -> None:
    answer = {
        "id": "c",
        "usage": {"n": 1.0},
        "choices": [{"message": {"content": TEXT, "tool_calls": [{"function": {"arguments": ARGUMENTS}}]}}],
    }
    message = restore_json(answer, Restored(KNOWN))["choices"][0]["message"]
    arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
    assert (message["content"], json.loads(arguments["body"])) == (WANTED_TEXT, WANTED_ARGUMENTS["body"])
    same = {"a": [1, 2.5, None, True, "PI"], "thinking": "[PII_EMAIL_1]"}
    assert restore_json(same, Restored(KNOWN)) == same
    assert restore_json({"[PII_EMAIL_1]": 1}, Restored(KNOWN)) == {MAIL: 1}
