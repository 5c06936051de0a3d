"""Which model, here: scout, fit, machine."""
