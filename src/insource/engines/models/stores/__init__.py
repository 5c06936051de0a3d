"""Readers of the folders that tools keep model files in, one file a layout, all behind `core.ports.ModelStore`.

They read names, sizes and small manifests; headers are read in one place for all of them (`headers.py`). Nothing here
writes into a store, and everything goes through `folder.py`, which refuses whatever lies outside of it.
"""
