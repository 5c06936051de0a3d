"""What this computer is. Not built yet: its place in the layout."""
