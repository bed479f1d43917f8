"""What a .rec file is: framing, image headers, index and list files."""
