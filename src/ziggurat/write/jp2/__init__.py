"""JPEG 2000 and HTJ2K files in named profiles, encoded tile by tile within a stated memory.

ISO/IEC 15444-1 and 15444-15. The writers are in ``writer``, which loads the encoders: a job that writes JPEG needs
only the options.
"""

from ziggurat.write.jp2.options import Jp2Options

__all__ = ["Jp2Options"]
