"""What is drawn for a batch: the plan's fields, and the compiled functions that fill them."""
