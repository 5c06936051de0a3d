"""Model files as fitting needs them: read tensor by tensor, and written whole. No engine, no training library."""
