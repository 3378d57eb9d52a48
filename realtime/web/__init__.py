"""In the browser: listen, see, play."""
