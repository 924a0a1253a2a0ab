"""Many trainings, and what is on disk of them."""
