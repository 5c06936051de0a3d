"""Low-rank adapters: trained on a task's examples, written for the engine, merged, and proven to be what was trained.

torch, transformers and peft are imported by `trainer/` alone, which runs in a process of its own.
"""
