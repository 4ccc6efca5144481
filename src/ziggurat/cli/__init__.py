"""The command line: one thin file per command, imported when it is called.

Exit codes: 0 all done; 1 an error that stopped the command; 2 the command line itself is wrong; 3 some images failed;
130 interrupted.
"""

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING

from ziggurat import __version__
from ziggurat.convert.text import visible
from ziggurat.errors import UsageError, ZigguratError

if TYPE_CHECKING:
    from cyclopts import App

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130

LONGEST = 4000
"""Characters of an error's message: it may quote what a file or a command line holds."""

COMMANDS = {
    "convert": "Convert a collection: every image verified, every step in a ledger.",
    "assess": "Try settings on a sample of a collection, and say what all of it would come to.",
    "status": "Show how far a job is, also while it runs.",
    "verify": "Read a job's outputs, or a pack's images, again and compare them with what is recorded.",
    "report": "Write a job's report: one HTML page, or CSV or JSON.",
    "info": "Show what an image's header says.",
    "read": "Read a window of a level into a .npy, .tif or .png file.",
    "serve": "Show images in browsers: IIIF, Deep Zoom, map tiles; nothing is converted.",
    "overview": "Make the levels that images lack, in the cache or beside them.",
    "index": "Find out where everything lies in JPEG 2000 images, once for all readers.",
    "transcode": "Write a JPEG 2000 file again in a layout for object storage, bit for bit.",
    "references": "Write an image's levels as a Zarr group of spans of its own file, for kerchunk or Icechunk.",
    "pack": "Put the images of folders, stores, manifests, tar files and databases into one file.",
    "add": "Put more images into a pack.",
    "rm": "Take images out of a pack.",
    "ls": "List the images of a pack, all or those that an SQL expression is true of.",
    "get": "Write one image of a pack as the file that it was.",
    "unpack": "Write the images of a pack as the files that they were.",
    "merge": "Make one pack of several.",
    "split": "Make several packs of one, none larger than a size.",
    "export": "Write a pack as WebDataset tar files, as a folder, or its index as Parquet.",
    "cutout": "Cut positions on the sky out of FITS images: one, or a catalogue's.",
    "footprints": "Find out which FITS images lie where on the sky, for `cutout`.",
    "doctor": "Check the libraries that Ziggurat stands on.",
}
"""Every command, and its line in the help. ``convert`` is ``ziggurat.cli.convert:convert``, and so on."""


def build() -> "App":
    """The command line as a value."""
    # Spawned workers import the main script, and so this module; they need no command line.
    from cyclopts import App  # noqa: PLC0415 - as said

    app = App(
        name="ziggurat",
        help="Keeps big image collections small, safe and instantly viewable.",
        version=__version__,
        help_format="plaintext",
    )
    for name, text in COMMANDS.items():
        app.command(f"ziggurat.cli.{name}:{name}", name=name, help=text)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's encoding cannot show must not end the command.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs one command; errors become messages on standard error and exit codes."""
    from cyclopts import CycloptsError  # noqa: PLC0415 - as in ``build``

    try:
        code = build()(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"ziggurat: {visible(str(error), LONGEST)}", file=sys.stderr)
        print("Try `ziggurat --help` or `ziggurat COMMAND --help`.", file=sys.stderr)
        return EXIT_USAGE
    except UsageError as error:
        print(f"ziggurat: {visible(str(error), LONGEST)}", file=sys.stderr)
        return EXIT_USAGE
    except ZigguratError as error:
        print(f"ziggurat: {type(error).__name__}: {visible(str(error), LONGEST)}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else EXIT_OK
