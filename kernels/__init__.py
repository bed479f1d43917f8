"""The pixel work: one declaration of the plan, three executions of it (NumPy, Numba, CUDA).

`plan` declares and draws the plan, `cpu` executes it by Numba, `cuda` on a GPU. What several of
them need lies beside them. This package imports numpy, numba and cupy, never gpuio. Importing it
loads none of the three but numpy; the modules load what they need.
"""
