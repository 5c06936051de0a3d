"""From log to certificate: import, tasks, criterion, evidence, evaluate, verify, move."""
