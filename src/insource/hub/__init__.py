"""The open-model ecosystem. Not built yet: its place in the layout."""
