"""insource moves AI work from hosted closed models to open models that you run, one task at a time, on evidence."""

__version__ = "0.1.0"
