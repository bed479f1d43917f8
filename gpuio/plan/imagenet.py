"""How the colours of ImageNet vary, as MXNet has it."""

from __future__ import annotations

__all__ = ["EIGENVALUES", "EIGENVECTORS"]

# the principal components, rows R, G, B, and the spread along each
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
EIGENVALUES = (55.46, 4.794, 1.148)
