"""llama.cpp's own allocator, asked what it would allocate: `python -m insource.engines.allocator_process`.

A process of its own, because a file from strangers may crash the engine, and because all it takes ends with it. It
drives the pinned engine's shared library (`xllamacpp.abi3.so`) through ctypes: a model is loaded with `no_alloc`, so a
header with a hole in place of its data is enough, and every context only plans its buffers. That is a private,
version-bound way: the layouts below are those of this build's llama.h and are checked against the defaults that it
returns; where they differ, nothing is answered (design/2026-11-30-engine-allocation.md).

stdin: one JSON object a line, {"path": …} once, then settings; stdout: one JSON object for each settings.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_TYPES: Mapping[str, int] = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "iq4_nl": 20,
    "bf16": 30,
}
_LOAD_MODE_NONE = 0
_MOST_BYTES = 8 << 30


class _ModelParams(c.Structure):
    """struct llama_model_params"""

    _fields_ = [
        *((name, c.c_void_p) for name in ("devices", "tensor_buft_overrides")),
        *((name, c.c_int32) for name in ("n_gpu_layers", "split_mode", "load_mode", "lazy_mode", "main_gpu")),
        *((name, c.c_void_p) for name in ("tensor_split", "progress_callback", "progress_data", "kv_overrides")),
        *((name, c.c_bool) for name in ("vocab_only", "check_tensors", "use_extra_bufts", "no_host")),
        *((name, c.c_bool) for name in ("no_alloc", "load_mtp")),
    ]


class _ContextParams(c.Structure):
    """struct llama_context_params"""

    _fields_ = [
        *((name, c.c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_outputs_max")),
        ("n_outputs_max_per_seq", c.c_uint32),
        *((name, c.c_int32) for name in ("n_threads", "n_threads_batch", "ctx_type", "rope_scaling_type")),
        *((name, c.c_int32) for name in ("pooling_type", "attention_type", "flash_attn_type")),
        *((name, c.c_float) for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext", "yarn_attn", "yarn_fast")),
        ("yarn_slow", c.c_float),
        ("yarn_orig_ctx", c.c_uint32),
        ("defrag_thold", c.c_float),
        *((name, c.c_void_p) for name in ("cb_eval", "cb_eval_user_data")),
        *((name, c.c_int32) for name in ("type_k", "type_v")),
        ("moe_cache_size", c.c_size_t),
        *((name, c.c_void_p) for name in ("abort_callback", "abort_callback_data")),
        *((name, c.c_bool) for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full")),
        ("kv_unified", c.c_bool),
        ("samplers", c.c_void_p),
        ("n_samplers", c.c_size_t),
        ("ctx_other", c.c_void_p),
    ]


class _Breakdown(c.Structure):
    """std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data> as libstdc++ lays it out: the header of a
    red-black tree. It is returned through memory like any large struct; its nodes are leaked with the process."""

    _fields_ = [
        ("compare", c.c_void_p),
        ("color", c.c_long),
        *((name, c.c_void_p) for name in ("root", "leftmost", "rightmost")),
        ("count", c.c_size_t),
    ]


class _Node(c.Structure):
    _fields_ = [
        ("color", c.c_long),
        *((name, c.c_void_p) for name in ("parent", "left", "right", "buffer_type")),
        *((name, c.c_size_t) for name in ("model", "context", "compute")),
    ]


def library() -> Any:
    spec = find_spec("xllamacpp")
    assert spec is not None
    assert spec.origin is not None
    so = c.CDLL(str(Path(spec.origin).with_name("xllamacpp.abi3.so")))
    so.llama_model_default_params.restype = _ModelParams
    so.llama_context_default_params.restype = _ContextParams
    so.llama_model_load_from_file.restype = c.c_void_p
    so.llama_model_load_from_file.argtypes = [c.c_char_p, _ModelParams]
    so.llama_init_from_model.restype = c.c_void_p
    so.llama_init_from_model.argtypes = [c.c_void_p, _ContextParams]
    so.llama_free.argtypes = [c.c_void_p]
    so.llama_model_get_vocab.restype = c.c_void_p
    so.llama_model_get_vocab.argtypes = [c.c_void_p]
    so.llama_vocab_n_tokens.argtypes = [c.c_void_p]
    breakdown = so._Z26llama_get_memory_breakdownPK13llama_context
    breakdown.restype = _Breakdown
    breakdown.argtypes = [c.c_void_p]
    so.llama_backend_init()
    return so


def load(so: Any, path: str) -> Any:
    params = so.llama_model_default_params()
    if (params.n_gpu_layers, params.load_mode, params.use_extra_bufts, params.no_alloc) != (-1, -1, True, False):
        raise SystemExit("another layout of llama_model_params: read llama.h of the installed build")
    params.no_alloc = True
    params.load_mode = _LOAD_MODE_NONE
    model = so.llama_model_load_from_file(path.encode(), params)
    if not model:
        raise SystemExit(f"llama.cpp can't load {path}")
    return model


def context(so: Any, model: Any, settings: dict[str, Any]) -> Any:
    """As our worker opens it: outputs one a slot, no unified cache, sliding windows at their own size."""
    params = so.llama_context_default_params()
    found = (params.n_ctx, params.n_batch, params.n_ubatch, params.type_k, params.offload_kqv, params.swa_full)
    if found != (512, 2048, 512, 1, True, True) or params.ctx_other is not None:
        raise SystemExit("another layout of llama_context_params: read llama.h of the installed build")
    params.n_ctx = settings["context_tokens"]
    params.n_seq_max = settings["slots"]
    params.n_outputs_max = settings["output_tokens"] or settings["slots"]
    params.n_batch = settings["batch_tokens"]
    params.n_ubatch = settings["ubatch_tokens"]
    params.type_k = _TYPES[settings["cache_type_k"]]
    params.type_v = _TYPES[settings["cache_type_v"]]
    params.flash_attn_type = -1 if settings["flash_attention"] else 0
    params.swa_full = False
    params.kv_unified = False
    made = so.llama_init_from_model(model, params)
    if not made:
        raise SystemExit(f"llama.cpp refuses {settings}")
    return made


def breakdown(so: Any, made: Any) -> dict[str, int]:
    """Bytes over all buffer types. It leaves out the buffer for the logits (`llama_context::output_reserve`)."""
    tree = so._Z26llama_get_memory_breakdownPK13llama_context(made)
    total = {"model": 0, "context": 0, "compute": 0}
    pending = [tree.root]
    while pending:
        address = pending.pop()
        if address:
            node = _Node.from_address(address)
            pending += [node.left, node.right]
            for part in total:
                total[part] += getattr(node, part)
    return total


def main() -> None:
    _limit_memory()
    so = library()
    quiet = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda level, text, data: None)
    if "--verbose" not in sys.argv:
        so.llama_log_set(quiet, None)
    model: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if "path" in request:
            model = load(so, request["path"])
            continue
        made = context(so, model, request)
        found = breakdown(so, made)
        found["compute"] += so.llama_vocab_n_tokens(so.llama_model_get_vocab(model)) * request["slots"] * 4
        sys.stdout.write(json.dumps(found) + "\n")
        so.llama_free(made)
    sys.stdout.flush()


def _limit_memory() -> None:
    """Against a header that makes the engine ask for more: planning the largest models takes under 2 GiB."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))


if __name__ == "__main__":
    main()
