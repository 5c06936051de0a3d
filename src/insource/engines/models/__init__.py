"""Model files on disk: where they come from (hub, wheel, file), how they are kept, and what their headers say.

Nothing in a model file is ever executed or unpickled. Running one is `engines/`' own business, not this package's.
"""
