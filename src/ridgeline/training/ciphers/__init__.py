"""Small ciphers to hold networks against: how a flipped bit spreads. For teaching: none of them protects anything."""
