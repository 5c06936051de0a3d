"""Logs in the layouts of other tools, written for the tests: small, and with known content."""
