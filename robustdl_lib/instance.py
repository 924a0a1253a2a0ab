"""Instance-dependent noise (being written)."""
