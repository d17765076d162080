"""Run the command line as `python -m ftspec`."""

from ftspec.cli import main

if __name__ == "__main__":
    main()
