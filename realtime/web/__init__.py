"""The server of the page in the browser, and the protocol between page and server."""
