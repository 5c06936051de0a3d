"""Logs whose tasks are known: prompts written for the bench around real messages, answers and tool calls."""
