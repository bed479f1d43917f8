"""What is asked for: options, order, and the plan of every batch."""
