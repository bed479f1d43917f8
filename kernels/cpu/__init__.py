"""A plan's rows executed on the CPU, by Numba."""
