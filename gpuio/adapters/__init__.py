"""Hand-off to other frameworks."""
