"""Local runtimes and the model files on disk."""
