"""Which record stands where: parts, passes, shuffles, and the generators they draw from."""
