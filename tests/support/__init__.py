"""What several tests need: small images and files, stand-ins for devices, the NumPy reference."""
