"""What people write today: a loop of astropy's Cutout2D over whole files.

Started with a list of targets that names the file of each; says nothing.
"""

import csv
import sys
import warnings
from itertools import groupby
from multiprocessing import Pool
from pathlib import Path

from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

type Row = dict[str, str]


def cut(data: object, header: fits.Header, wcs: WCS, row: Row, out: Path, size: float) -> None:
    """Cuts one target out of an image and writes it with the image's header and the cutout's coordinates."""
    place = SkyCoord(float(row["ra"]), float(row["dec"]), unit="deg")
    cutout = Cutout2D(data, place, size * units.deg, wcs=wcs, mode="partial")
    own = header.copy()
    own.update(cutout.wcs.to_header())
    fits.PrimaryHDU(cutout.data, own).writeto(out / f"{row['name']}.fits")


def one_file(job: tuple[str, list[Row], Path, float]) -> None:
    """Reads a file whole and cuts all its targets."""
    path, rows, out, size = job
    warnings.simplefilter("ignore")
    with fits.open(path, memmap=False) as file:
        data, header = file[0].data, file[0].header
        wcs = WCS(header)
        for row in rows:
            cut(data, header, wcs, row, out, size)


def main(words: list[str]) -> None:
    """LIST OUT SIZE each|grouped PROCESSES."""
    listing, out, size, order, processes = words
    with Path(listing).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if order == "each":
        jobs = [(row["file"], [row], Path(out), float(size)) for row in rows]
    else:
        rows.sort(key=lambda row: row["file"])
        jobs = [(path, list(part), Path(out), float(size)) for path, part in groupby(rows, lambda row: row["file"])]
    if processes == "1":
        for job in jobs:
            one_file(job)
        return
    with Pool(int(processes)) as pool:
        pool.map(one_file, jobs)


if __name__ == "__main__":
    main(sys.argv[1:])
