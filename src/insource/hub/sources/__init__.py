"""Where metadata comes from. Every source gives the rows of `hub/schema.py`, so nothing above knows which it was."""
