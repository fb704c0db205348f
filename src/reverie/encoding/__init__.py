"""From the user's numbers to what units see, and back.

A model keeps neither thresholds nor means: its encoding does. There is one for each kind of column, and one for a row
of several kinds. What an encoding learns from the training rows is a dictionary of tensors that is saved with the
model; encodings themselves hold only the choices that the constructor was given.

===============  =============================================  ===========================  =======================
encoding         learns                                         stores                       the equations see
===============  =============================================  ===========================  =======================
``Binary``       the protocol's thresholds (``binary.py``)      bits, or probabilities       zeros and ones
``Real``         mean and scale of each column that varies      standardised, or the levels  standardised values
``OneScale``     the same, with one scale for all columns       moved and scaled             values of one scale
``Pixels``       the least and the largest of all values        as they come                 values from −1 to 1
``Codes``        the values that each column takes              codes                        codes 0 … K − 1
``Row``          what its parts learn                           the parts side by side       the parts side by side
===============  =============================================  ===========================  =======================

``Real`` reports densities in the user's own units: what standardising does to a volume is its :meth:`log_volumes`.
Whole numbers (8-bit pixels), or an image's levels in [0, 1], have no density, or one without bound; ``dequantise``
spreads each over the interval up to the next by a uniform draw, afresh at every visit in training and seeded for
whatever is scored. The density of such data is a lower bound on their log-probability, on average over the noise
(Theis, van den Oord and Bethge 2016, eq. 5).
"""

from __future__ import annotations

from reverie.encoding.bits import Binary
from reverie.encoding.codes import MOST_CATEGORIES, Codes
from reverie.encoding.contract import Encoding, Kind
from reverie.encoding.one_scale import OneScale, Pixels
from reverie.encoding.real import Real
from reverie.encoding.row import Row, encoding_of
from reverie.encoding.words import called

__all__ = [
    "MOST_CATEGORIES",
    "Binary",
    "Codes",
    "Encoding",
    "Kind",
    "OneScale",
    "Pixels",
    "Real",
    "Row",
    "called",
    "encoding_of",
]
