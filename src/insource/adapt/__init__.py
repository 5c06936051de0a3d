"""The recipes: how a model is fitted to a task."""
