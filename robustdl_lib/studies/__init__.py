"""The sweeps and studies of the course: what is trained and computed for its figures."""
