"""Golden values of the signed-rank test, Holm's correction, intervals, and shares (Wilson, McNemar), by SciPy.

Writes test/golden/statistics/scipy.json. Needs: numpy, scipy.
"""

import platform

import numpy as np
import scipy
from scipy.stats import PermutationMethod, binomtest, t, wilcoxon

from shared import GOLDEN, write_json

OUT = GOLDEN / "statistics"


def holm(p):
    """Holm's step-down rule, written from its definition: SciPy itself has only Benjamini's rules."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate([(len(p) - i) * p[j] for i, j in enumerate(order)])
    out = np.empty(len(p))
    out[order] = np.minimum(1, adjusted)
    return out.tolist()


def rows_of(rng):
    """A mean per token whose error is over rows: the jackknife is another way to the same error, row by row left out."""
    found = []
    for n in (8, 31, 400):
        tokens = rng.integers(3, 60, n)
        sums = np.round(tokens * rng.normal(2.5, 0.4, n), 6)
        left_out = (sums.sum() - sums) / (tokens.sum() - tokens)
        jackknife = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
        quantile = float(t.ppf(0.975, n - 1))
        found.append({"tokens": tokens.tolist(), "sums": sums.tolist(), "jackknife": float(jackknife), "t": quantile})
    return found


def shares():
    """McNemar's exact test is the binomial test of the items on which two arms differ."""
    wilson = []
    for successes, n in ((0, 1), (1, 1), (0, 12), (5, 12), (22, 24), (100, 100), (613, 2048)):
        ci = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
        wilson.append({"successes": successes, "n": n, "low": float(ci.low), "high": float(ci.high)})
    mcnemar = []
    for a, b in ((0, 0), (0, 1), (1, 5), (3, 3), (10, 25), (0, 40), (700, 812)):
        p = 1.0 if a + b == 0 else float(binomtest(a, a + b, 0.5).pvalue)
        mcnemar.append({"only_first": a, "only_second": b, "p": p})
    return {"wilson": wilson, "mcnemar": mcnemar}


def main():
    rng = np.random.default_rng(20261201)
    samples = []
    for n in (6, 7, 8, 10, 12, 16, 25, 40):
        samples.append(rng.normal(0.4, 1.0, n))
        samples.append(rng.standard_t(2, n) - 0.2)
        samples.append(rng.lognormal(0.0, 0.7, n) - 1.0)
    tests = []
    for values in samples:
        values = np.round(values, 6)
        assert len(set(np.abs(values))) == len(values) and np.all(values != 0)
        tests.append({"differences": values.tolist(), "p": float(wilcoxon(values, method="exact").pvalue)})
    many = np.round(rng.normal(0.02, 1.0, 240), 6)
    tied = []
    for values in ([1, 1, 2, 2, -1, 3, 4], [0, 1, 2, 2, 2, -2, 5, 6], [3, 3, 3, 3, 3, 3], [0.5, 0.5, -0.5, 1, 1, 1, 2, 2]):
        kept = np.array([v for v in values if v != 0], float)
        # every one of the 2^n sign patterns: exact with ties
        p = wilcoxon(kept, method=PermutationMethod(n_resamples=np.inf)).pvalue
        tied.append({"differences": [float(v) for v in values], "p": float(p)})
    families = [[0.01, 0.04, 0.03], [0.02, 0.5], [0.2, 0.9, 0.05, 0.01]]
    rows = rows_of(rng)
    OUT.mkdir(exist_ok=True)
    document = {
        "tests": tests,
        "many": {"differences": many.tolist(), "p": float(wilcoxon(many, method="exact").pvalue)},
        "tied": tied,
        "rows": rows,
        "shares": shares(),
        "holm": [{"p": p, "adjusted": holm(p)} for p in families],
    }
    write_json(OUT / "scipy.json", document)
    versions = {"python": platform.python_version(), "scipy": scipy.__version__, "numpy": np.__version__}
    write_json(OUT / "versions.json", versions)


if __name__ == "__main__":
    main()
