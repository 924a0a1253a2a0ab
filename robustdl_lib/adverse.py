"""Adverse images (being written)."""
