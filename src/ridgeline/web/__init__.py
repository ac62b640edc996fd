"""The explorer in the browser: a stateless JSON API over the commands, and the pages that draw what it answers."""
