"""Hosted services, replay of recorded traffic, prices."""
