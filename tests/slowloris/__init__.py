"""Slow clients in great number, and an honest one among them."""
