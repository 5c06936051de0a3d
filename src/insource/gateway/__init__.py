"""The HTTP surface that applications talk to."""
