"""Readers of foreign logs, privacy detection and task discovery."""
