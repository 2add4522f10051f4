"""A text model from labels: samples read from recordings, fitted, and measured on what it has not seen."""
