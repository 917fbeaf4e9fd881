"""Where people meet it: the command line and the page."""
