from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ziggurat.model import Samples

type Planes = NDArray[np.float32]

def pyramid(pixels: Samples, counts: Sequence[int]) -> list[Planes]: ...
def sums(a: Planes, b: Planes) -> NDArray[np.float64]: ...
