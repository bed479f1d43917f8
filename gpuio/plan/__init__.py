"""Every random number of a batch, drawn on the host before a pixel is touched."""
