"""`python -m insource.machine.ggml_devices`: what ggml itself says of this machine, as JSON on stdout.

A process of its own: a driver that crashes takes nobody along, and the memory that its context holds comes back.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> int:
    report = os.dup(1)
    os.dup2(2, 1)  # drivers and the library print what they like; the report is JSON alone
    import xllamacpp

    llama: Any = xllamacpp  # a compiled module without types
    devices = [{**device, "type": _kind(device["type"])} for device in llama.get_device_info()]
    with os.fdopen(report, "w", encoding="utf-8") as out:
        json.dump({"devices": devices, "system_info": str(llama.get_system_info())}, out)
    return 0


def _kind(kind: Any) -> str:
    """`GGML_BACKEND_DEVICE_TYPE_IGPU` -> `igpu`."""
    return str(kind.name).rpartition("_")[2].lower()


if __name__ == "__main__":
    sys.exit(main())
