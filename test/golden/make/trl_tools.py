"""What scripts that run TRL share."""

import itertools


def quiet_fingerprints():
    """datasets names its cache by pickling functions, which dill 0.4.1 cannot do with a type of pyarrow 26; nothing is
    cached here."""
    import datasets
    import datasets.fingerprint

    count = itertools.count()
    datasets.fingerprint.Hasher.hash = classmethod(lambda cls, value: f"h{next(count)}")
    datasets.fingerprint.Hasher.update = lambda self, value: None
    datasets.disable_progress_bars()
