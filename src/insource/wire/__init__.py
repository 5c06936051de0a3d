"""Wire formats: how a request or an answer is said. To whom it goes is `providers/` and `engines/`."""
