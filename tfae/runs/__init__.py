"""A run and its work directory: what is trained, written down, assessed, drawn and read back."""
