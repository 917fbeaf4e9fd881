"""Where APIs run: an engine takes what is desired and makes it so. The local one needs nothing but this machine."""
