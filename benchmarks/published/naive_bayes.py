"""Naive Bayes on MNIST, beside scikit-learn's BernoulliNB: accuracy, log p(x) and log p(x, y) of the test images.

Measured with scikit-learn, pixels above 127, alpha = 0.01, all 60,000 training images: 84.4 %, -168.9 and -172.1 nats.
The same figures are wanted here, and log p(x, y) of every image and label to 1e-8. There is nothing to choose, so there
is no --validate; the test images are scored once by each. Ten seconds.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.special import logsumexp
from sklearn.naive_bayes import BernoulliNB

from _common import Check, Result, labelled_mnist, main
from reverie import NaiveBayes

SMOOTHING = 0.01
ACCURACY, LOG_X, LOG_XY = 84.4, -168.9, -172.1
COLUMNS = ["", "accuracy, %", "log p(x)", "log p(x, y)", "seconds to fit"]


def measure(quick: bool) -> Result:
    """Both, side by side."""
    images = labelled_mnist(validate=False, quick=quick)
    x, y, test, truth = images.x, images.y, images.held_out.x, images.held_out.y
    bits = (x > 127).astype(np.uint8)
    start = time.perf_counter()
    peer = BernoulliNB(alpha=SMOOTHING).fit(bits.reshape(len(bits), -1), y)
    between = time.perf_counter()
    own = NaiveBayes(visible="bernoulli", smoothing=SMOOTHING, device="cpu").fit(bits, y)
    end = time.perf_counter()
    held = (test > 127).astype(np.uint8)
    theirs = peer.predict_joint_log_proba(held.reshape(len(held), -1))
    ours = own.predict_joint_log_proba(held)
    figures = {}
    for name, joint in (("scikit-learn", theirs), ("reverie", ours)):
        of_truth = joint[np.arange(len(truth)), np.searchsorted(own.classes_, truth)]
        right = 100 * float((own.classes_[joint.argmax(1)] == truth).mean())
        figures[name] = (right, float(logsumexp(joint, 1).mean()), float(of_truth.mean()))
    seconds = {"scikit-learn": between - start, "reverie": end - between}
    rows = [[name, *(round(f, 2) for f in found), round(seconds[name], 1)] for name, found in figures.items()]
    checks = [
        Check("largest difference of log p(x, y), nats", float(abs(theirs - ours).max()), 1e-8),
        *(
            Check(f"{what}, distance from {wanted:g}", abs(found - wanted), 0.05)
            for what, wanted, found in zip(COLUMNS[1:4], (ACCURACY, LOG_X, LOG_XY), figures["reverie"], strict=True)
        ),
    ]
    return Result(COLUMNS, rows, ["nats per test image, counting measure on {0, 1}^784, exact"], checks, figures)


if __name__ == "__main__":
    main(__doc__, measure)
