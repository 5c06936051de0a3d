"""Memory and speed of a model on a machine. Not built yet: its place in the layout."""
