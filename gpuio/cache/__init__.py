"""Decoded images kept from epoch to epoch: in memory, in a file that processes share, on a disk."""
