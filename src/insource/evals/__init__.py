"""Scorers, splits, screening, comparison and certificates."""
