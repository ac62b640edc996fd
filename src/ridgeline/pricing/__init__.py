"""Prices of tokens: the menu that costs imply, and what a price sheet gives away."""
