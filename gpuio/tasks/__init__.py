"""What differs between classification and detection: the rest of the package does not ask."""
