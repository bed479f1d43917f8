"""Batches made on a GPU: engines, memory, launches, and what they ask of CuPy."""
