"""The static site: pages staged from what is committed, then built by Sphinx. The library knows nothing of it."""
