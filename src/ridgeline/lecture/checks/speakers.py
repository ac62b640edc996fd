"""Who spoke: nothing that a law could compute."""
