"""The Hub: sync, show, report."""
