"""A plan's rows executed on a GPU: CUDA C, and the tables and launches it is given."""
