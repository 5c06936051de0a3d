"""Moves that watch themselves: above the journeys, for it reads what serving recorded and proves with it again."""
