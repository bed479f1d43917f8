"""The pixel work: one declaration of the plan, three executions of it (NumPy, Numba, CUDA).

This package imports numpy, numba and cupy, never gpuio. Importing it loads none of the three but
numpy; the modules load what they need.
"""
