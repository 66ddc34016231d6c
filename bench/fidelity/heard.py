"""What transformers and PEFT say while they load something."""

import contextlib
import io
import logging
import warnings


@contextlib.contextmanager
def complaints():
    """What is warned, logged at WARNING or above, or printed on stderr meanwhile."""
    heard = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in ("transformers", "peft")]
    for logger in loggers:
        logger.addHandler(handler)
    stderr = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(stderr):
        warnings.simplefilter("always")
        yield heard
    for logger in loggers:
        logger.removeHandler(handler)
    heard += [str(w.message) for w in caught] + [line for line in stderr.getvalue().splitlines() if line.strip()]
