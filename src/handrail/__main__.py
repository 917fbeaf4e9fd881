"""`python -m handrail` is the command line."""

from handrail.faces.cli import main

if __name__ == "__main__":
    main()
