"""From an opened source to a picture and its writer, and what that will take: shared by plan and worker."""

from dataclasses import dataclass, replace

from ziggurat.convert.options import OutputOptions
from ziggurat.convert.records import Budget, Strategy
from ziggurat.convert.tuning import Tuned, placeholder, tune
from ziggurat.convert.wanted import Wanted
from ziggurat.errors import OutOfMemory, TooManyPixels
from ziggurat.geometry import Size, Window
from ziggurat.image import Image
from ziggurat.write.picture import prepare
from ziggurat.write.protocol import Picture, Writer
from ziggurat.write.table import Form, target

SCRATCH = 48 << 20
"""Bytes for what no prediction itemises: interpreter objects, allocator slack, comparison buffers."""

UNLIMITED = 1 << 62
"""A memory limit that never binds."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """One picture on its way to one writer.

    Attributes:
        name: of the target in the table.
        exact: whether every sample of the output must equal the picture's.
    """

    name: str
    picture: Picture
    writer: Writer
    exact: bool


def set_up(image: Image, options: OutputOptions, writer_name: str | None = None) -> Conversion:
    """Chooses the writer for an image and prepares its picture; reads no pixels.

    Args:
        image: the opened source.
        options: of the job.
        writer_name: the choice that the plan made, if it has.

    Raises:
        TooManyPixels: if the target cannot hold the image and ``--oversize`` gives no other way.
        UnsupportedFeature: if the target cannot hold this kind of picture.
    """
    limit = target(options.target).max_side
    size = image.info.size
    name, picture_options = writer_name or options.target, options.picture
    if limit is not None and max(size) > limit:
        match options.oversize:
            case "ptiff":
                name = "ptiff"
            case "downscale":
                picture_options = replace(picture_options, shrink=-(-max(size) // limit))
            case "refuse" | "skip":
                raise TooManyPixels(
                    f"{image.url} is {size.height} x {size.width}; {options.target} holds at most {limit} pixels "
                    "a side: choose --oversize ptiff, downscale or skip"
                )
    picture = prepare(image, picture_options, form=_form(name, options))
    if name == "jpeg" and options.fidelity is not None:
        options = replace(options, jpeg=replace(options.jpeg, tables=placeholder(picture.bands)))
    writer = target(name).make(options.of(name))
    return Conversion(name, picture, writer, exact=_exact(name, options))


def tuned(
    conversion: Conversion, options: OutputOptions, wanted: Wanted, *, whole: bool
) -> tuple[Conversion, OutputOptions, Tuned]:
    """The conversion with what its picture needs to be as faithful as the job asks for.

    Args:
        conversion: to a JPEG.
        options: of the job.
        wanted: what it asks for.
        whole: whether the picture lies in memory.

    Returns:
        The conversion, the options of this one picture, and what was chosen.
    """
    chosen = tune(conversion.picture, wanted, whole=whole)
    options = replace(options, jpeg=chosen.applied(options.jpeg))
    return replace(conversion, writer=target(conversion.name).make(options.jpeg)), options, chosen


def _form(name: str, options: OutputOptions) -> Form:
    tiff_of_display = name == "ptiff" and options.ptiff.compression in {"jpeg", "webp"}
    return "display" if name == "jpeg" or tiff_of_display else "native"


def _exact(name: str, options: OutputOptions) -> bool:
    match name:
        case "jpeg":
            return False
        case "jp2" | "htj2k":
            return options.jp2.lossless
        case "b2nd":
            return options.b2nd.lossless
        case "ome-zarr":
            return options.omezarr.psnr is None
    if options.ptiff.compression == "jpeg2000":
        return options.ptiff.psnr is None
    return options.ptiff.compression not in {"jpeg", "webp"}


def predict(conversion: Conversion, source_size: int, budget: Budget, share: int) -> tuple[Strategy, int]:
    """How the image will be converted, and the peak bytes that this takes.

    Whole in memory where that fits a worker's share (every pixel is then decoded once); otherwise in bands;
    otherwise whole and alone.

    Args:
        conversion: as set up.
        source_size: bytes of the source, which a whole conversion holds.
        budget: of the job.
        share: bytes that a task may take without keeping the others from running.

    Raises:
        OutOfMemory: if neither way fits the budget.
    """
    picture = conversion.picture
    raw = picture.size.pixels * picture.bands * picture.dtype.itemsize
    reading = picture.read_cost(Window.full(picture.size))
    writing = conversion.writer.write_cost(picture, memory=UNLIMITED)
    # While it is verified, the picture, the output's pixels and the output's bytes are there at once.
    whole = source_size + max(reading, writing, 2 * raw + raw // 2) + SCRATCH
    if whole <= share:
        return "whole", whole
    in_bands = conversion.writer.write_cost(picture, memory=budget.bands - SCRATCH) + SCRATCH
    if in_bands <= budget.bands:
        return "bands", budget.bands
    if whole <= budget.total:
        return "whole", whole
    size: Size = picture.size
    row = picture.read_cost(Window(0, 0, 1, size.width))
    raise OutOfMemory(
        f"{size.height} x {size.width} x {picture.bands} pixels take {whole >> 20} MiB at once, even one row of "
        f"them {row >> 20} MiB, and the budget for images is {budget.total >> 20} MiB: raise --memory"
    )
