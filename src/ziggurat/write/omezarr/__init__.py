"""OME-Zarr 0.5 groups in shards, written in bands within a stated memory.

Zarr v3 core specification 3.1, the sharding-indexed codec 1.0, OME-Zarr 0.5. The writer is in ``writer``: jobs of other
targets need only the options.
"""

from ziggurat.write.omezarr.options import OmeZarrOptions

__all__ = ["OmeZarrOptions"]
