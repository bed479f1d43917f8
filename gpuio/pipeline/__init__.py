"""The machine: look-ahead threads, the policy for bad records, statistics."""
