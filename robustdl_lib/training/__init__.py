"""One training: network, step, loop, checkpoint and measurements."""
