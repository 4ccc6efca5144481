"""SSIMULACRA2, a measure of how visibly two pictures differ: 100 equal, 90 not visible, 70 high quality.

The metric is version 2.1 of Cloudinary's SSIMULACRA 2 (https://github.com/cloudinary/ssimulacra2), as libjxl has
it in ``tools/ssimulacra2.cc`` (BSD-3); weights and the cubic that follows them are that file's, the colour space
is XYB of ISO/IEC 18181-1. Blurs are true Gaussians, within 0.1 of the scores of the PyPI package ``ssimulacra2``:
a window's columns beyond the picture count as zero, its rows are mirrored.

Two thirds of the weights are none, or too small to be seen in any score: planes that have no others are not made.
"""

import numpy as np

from ziggurat.errors import UsageError
from ziggurat.model import Samples
from ziggurat.quality import ssimulacra2_arrays

try:
    from ziggurat.quality import ssimulacra2_loops as engine
except ImportError:
    engine = ssimulacra2_arrays  # type: ignore[misc]

SMALLEST = 8
"""Rows and columns that a scale needs."""

_SCALES = 6

_PLANES = (1, 2, 2, 3, 3, 0)
"""Planes of each of the six scales, of Y, X and B, in which some weight is above 0.01."""

_ORDER = (1, 0, 2)
"""Where X, Y and B lie among Y, X and B."""

# By plane (X, Y, B), scale, norm (1, 4) and map (SSIM, artefacts, lost detail), in this order of nesting.
# fmt: off
_WEIGHTS = (
    0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0,
    0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0,
    0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0,
    0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053,
    0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0,
    0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262,
    0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264,
    225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985,
    176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0,
    0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353,
    0.0012286405048278493, 171.2667255897307, 0.9807858872435379,
    0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537,
)
# fmt: on


class Original:
    """A picture that others are compared with: what its own side costs is spent once.

    Args:
        pixels: uint8 sRGB (y, x, 3), or (y, x, 1) for grey with sRGB's tone curve.

    Raises:
        UsageError: if the shape or type is another, or a side is shorter than 8 pixels, of which the metric can
            say nothing.
    """

    def __init__(self, pixels: Samples) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in {1, 3}:  # noqa: PLR2004 - y, x, band
            raise UsageError(f"SSIMULACRA2 needs uint8 (y, x, 1 or 3), not {pixels.dtype} {pixels.shape}")
        height, width, _ = self._shape = pixels.shape
        if min(height, width) < SMALLEST:
            raise UsageError(f"SSIMULACRA2 needs {SMALLEST} x {SMALLEST} pixels or more, not {(height, width)}")
        self._sizes: list[int] = []
        while len(self._sizes) < _SCALES and min(height, width) >= SMALLEST:
            self._sizes.append(height * width)
            height, width = (height + 1) // 2, (width + 1) // 2
        scales = len(self._sizes)
        # Pictures with fewer scales use the first weights, as the reference does, and so other planes.
        self._counts = _PLANES if scales == _SCALES else (3,) * scales
        self._planes = engine.pyramid(pixels, self._counts)

    def score(self, distorted: Samples) -> float:
        """How visibly a picture differs from this one.

        Args:
            distorted: of the same shape.

        Returns:
            At most 100; below 0 where hardly anything is left.

        Raises:
            UsageError: if the shapes or types differ.
        """
        if distorted.shape != self._shape or distorted.dtype != np.uint8:
            raise UsageError(f"pictures of {self._shape} and {distorted.shape} {distorted.dtype} cannot be compared")
        terms = np.zeros((3, len(self._sizes), 6))
        others = engine.pyramid(distorted, self._counts)
        for scale, (size, planes, other) in enumerate(zip(self._sizes, self._planes, others, strict=True)):
            terms[: self._counts[scale], scale] = engine.sums(planes, other) / size
        terms[:, :, 3:] **= 0.25
        values = terms[_ORDER, ...].reshape(-1)
        return _score(float(np.dot(_WEIGHTS[: values.size], values)))


def ssimulacra2(original: Samples, distorted: Samples) -> float:
    """The score of a picture against its original: ``Original(original).score(distorted)``.

    Raises:
        UsageError: as there.
    """
    return Original(original).score(distorted)


def _score(distance: float) -> float:
    distance *= 0.9562382616834844
    distance = 2.326765642916932 * distance - 0.020884521182843837 * distance**2 + 6.248496625763138e-05 * distance**3
    return 100 - 10 * distance**0.6276336467831387 if distance > 0 else 100.0
