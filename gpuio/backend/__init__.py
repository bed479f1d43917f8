"""Pixels to batches, on the host or on a GPU, behind one protocol."""
