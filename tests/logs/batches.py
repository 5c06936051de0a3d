"""Samples of batches, and of tables and files that nobody knows."""

from __future__ import annotations

from dataclasses import replace

from tests.logs.sample import (
    ASKED,
    CALLS,
    ISO,
    MODEL,
    SAID,
    SECONDS,
    Sample,
    Wanted,
    anthropic_answer,
    anthropic_body,
    chat_answer,
    chat_body,
    csv,
    lines,
)

_BARE = Wanted(created=None, tokens=None, model=None)


def _batch_samples() -> tuple[Sample, ...]:
    asked = {"custom_id": "r0", "method": "POST", "url": "/v1/chat/completions", "body": chat_body()}
    answered = {
        "id": "batch_req_1",
        "custom_id": "r0",
        "response": {"status_code": 200, "body": chat_answer()},
        "error": None,
    }
    limited = {**answered, "response": {"status_code": 429, "body": {"error": {"message": "slow down"}}}}
    vectors = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "model": "m",
        "usage": {"prompt_tokens": 30, "total_tokens": 30},
    }
    embed = {**asked, "url": "/v1/embeddings", "body": {"model": "text-embedding-3-small", "input": ASKED}}
    embedded = {**answered, "response": {"status_code": 200, "body": vectors}}
    claude_asked, claude = {"custom_id": "r0", "params": anthropic_body()}, {"custom_id": "r0"}
    tool = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Quito"}}
    succeeded = {**claude, "result": {"type": "succeeded", "message": anthropic_answer(tool)}}
    expired = {**claude, "result": {"type": "expired"}}
    bedrock = {"recordId": "1", "modelInput": anthropic_body(), "modelOutput": anthropic_answer()}
    failed = Wanted(answer=None, tokens=None, status=500, created=None, model="claude-sonnet-4-5")
    timeless = Wanted(created=None, model="claude-sonnet-4-5")
    return (
        Sample(name="batch, answers first", files=(lines(answered), lines(asked)), wanted=Wanted()),
        Sample(
            name="batch that failed",
            files=(lines(asked), lines(limited)),
            wanted=replace(failed, status=429, model=MODEL),
        ),
        Sample(
            name="embeddings",
            files=(lines(embed), lines(embedded)),
            wanted=Wanted(
                asked="", rules="", answer=None, created=None, tokens=(30, 0), model="text-embedding-3-small"
            ),
        ),
        Sample(
            name="anthropic batch",
            files=(lines(claude_asked), lines(succeeded)),
            wanted=replace(timeless, answer=CALLS),
        ),
        Sample(name="anthropic batch expired", files=(lines(claude_asked), lines(expired)), wanted=failed),
        Sample(name="bedrock batch", files=(lines(bedrock),), wanted=timeless),
    )


def _table_samples() -> tuple[Sample, ...]:
    rows = (("question", "reply", "when", "dollars"), (ASKED, SAID, ISO, "0.002"))
    plain = replace(_BARE, rules="")
    return (
        Sample(
            name="csv",
            files=(
                csv(
                    ("prompt", "response", "model", "timestamp", "cost_usd"),
                    (ASKED, SAID, MODEL, str(SECONDS * 1000), 0.002),
                ),
            ),
            wanted=Wanted(rules="", tokens=None, cost_usd=0.002),
        ),
        Sample(
            name="csv with semicolons and breaks",
            files=(csv(("id", "question", "answer"), (7, f'{ASKED}\nand "late"', SAID), delimiter=";"),),
            wanted=replace(plain, asked=f'{ASKED}\nand "late"'),
        ),
        Sample(
            name="unknown csv",
            files=(csv(("kunde", "antwort"), (ASKED, SAID)),),
            wanted="--map prompt=kunde,answer=antwort",
        ),
        Sample(name="unknown json", files=(lines({"q": ASKED, "a": SAID, "n": 1}),), wanted="--map prompt=q,answer=a"),
        Sample(
            name="almost langfuse",
            files=(lines({"traceId": "t", "type": "GENERATION", "name": "n", "level": "x"}),),
            wanted="nearest format is langfuse",
        ),
        Sample(
            name="half a pair",
            files=(lines(*[{"request": chat_body(), "answer_text": SAID}] * 3),),
            wanted="none of them is a request with its answer",
        ),
        Sample(name="question and answer", files=(csv(*rows),), wanted=plain),
        Sample(
            name="parsed answer",
            files=(lines({"input": ASKED, "output": {"kind": SAID, "sure": True}}),),
            wanted=replace(plain, answer='{"kind":"broken","sure":true}'),
        ),
        Sample(
            name="openpipe",
            files=(lines({"input": chat_body(), "output": chat_answer(), "tags": {"a": "b"}}),),
            wanted=Wanted(),
        ),
        Sample(name="parquet", files=(b"PAR1" + bytes(range(256)),), wanted="duckdb"),
        Sample(name="pickle", files=(b"\x80\x04\x95" + bytes(50),), wanted="runs code"),
        Sample(
            name="access log",
            files=(b'1.2.3.4 - - [x] "POST /v1/chat/completions HTTP/1.1" 200 9\n' * 3,),
            wanted="insource serve",
        ),
    )


SAMPLES = (
    *_batch_samples(),
    *_table_samples(),
)
