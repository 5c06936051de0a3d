"""Who descends from whom: declared, repaired and inferred edges, and what they add up to."""
