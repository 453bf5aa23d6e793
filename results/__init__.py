"""Figures that are too dear for the course, and the scripts that compute them."""
