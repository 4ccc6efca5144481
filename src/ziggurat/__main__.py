"""``python -m ziggurat`` is the same as ``ziggurat``."""

from ziggurat.cli import main

if __name__ == "__main__":
    main()
