"""Every option of the record iterators, declared once."""
