"""Where people meet it: the command line. (The page is served: see serve/page.py.)"""
