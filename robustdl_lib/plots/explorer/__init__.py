"""The interactive page of emphasis densities."""
