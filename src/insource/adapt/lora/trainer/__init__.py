"""The training process: the only place that imports torch, transformers and peft. Started by `lora/run.py`."""
