"""Likely wrong labels in a data set of one's own: ranking, audit, page."""
