"""Rows and blobs: what was accepted, how far it has come, what came of it. No torch."""
