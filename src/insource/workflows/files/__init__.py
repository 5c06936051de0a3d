"""Model files: pull, list, import, export."""
