"""Results: tables, verdicts, published numbers and claims."""
