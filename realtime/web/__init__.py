"""The page in the browser: its server, and the protocol between the two."""
