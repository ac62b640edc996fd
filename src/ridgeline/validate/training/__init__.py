"""Published training runs held against predictions, and the constants of frameworks fitted to them."""
