"""What a person reads: figures, galleries and HTML from a finished run."""
