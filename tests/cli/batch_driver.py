"""Runs the command line with commits so small that an interruption comes between two of them."""

from ziggurat.cli import main
from ziggurat.pack import packing, writer

if __name__ == "__main__":
    writer.BATCH_BYTES = 1 << 16
    packing.AT_A_TIME = 16
    main()
