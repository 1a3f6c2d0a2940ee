"""Work on many points piece by piece, so that float64 and intermediate results take little memory."""

import functools
import inspect
import re

import numpy as np
from scipy.spatial import QhullError

from helpers.files import InputError

CHUNK_ROWS = 8192  # points that are worked on at once: 16 MB in float64 at 256 dimensions
SMALLEST, LARGEST = 1e-15, 1e15  # sizes between which squares, in float32 too, neither vanish nor overflow
CONSTANT = 1e-12  # of a component's magnitude: a smaller spread is rounding


def varying(array):
    """Mask (d,) of the components of an array (n, d) that have more than one value, but for rounding."""
    low, high = array.min(axis=0), array.max(axis=0)
    return high - low > np.maximum(CONSTANT * np.maximum(np.abs(low), np.abs(high)), SMALLEST)


CONDITIONS = {  # of arrays: where they hold, and what is wrong where they do not
    "varied": (lambda a: varying(a[:2]).any() or varying(a).any(), "all rows are the same; take others."),
    "all varied": (varying, "component {} has the same value in all rows; leave it out."),
    "positive": (lambda a: a > 0, "value {} is not positive."),
    "not negative": (lambda a: a >= 0, "value {} is negative."),
    "ascending": (lambda a: np.diff(a) > 0, "value {} is not below the next one; sort them."),
    "0/1": (lambda a: (a == 0) | (a == 1), "value {} is neither 0 nor 1."),
}


def asks(**specifications):
    """Decorator: the named arguments are arrays as `require_array` specifies, or InputError says why not."""

    def decorate(function):
        signature, purpose = inspect.signature(function), function.__name__

        @functools.wraps(function)
        def checked(*args, **kwargs):
            given, sizes = signature.bind(*args, **kwargs), {}
            for name, asked in specifications.items():
                given.arguments[name] = require_array(given.arguments[name], asked, purpose, name, sizes)
            try:
                return function(*given.args, **given.kwargs)
            except (np.linalg.LinAlgError, QhullError) as error:
                raise InputError(
                    f"{purpose} cannot use points that span fewer dimensions than they have components; take "
                    "more points or leave components out."
                ) from error

        return checked

    return decorate


def require_array(values, specification, purpose, name="z_points", sizes=None):
    """`values` as an array of finite numbers that meets a specification, else InputError.

    A specification names axes, then conditions, such as "n>=2 d, varied". A letter stands for one size in
    all arrays with the same dict `sizes`, at least 1 or what `>=` says; a number for itself, * for any size;
    "d or n d" are one axis or two. The conditions are CONDITIONS, "NaN too", "integers too", which leaves
    them what they are, and "may vanish" of what can lie near 0. float32 and float64 stay as they are, and are
    not copied; other numbers and lists become float64. In messages `purpose` asks for the array `name`.
    """
    (axes, *conditions), sizes = specification.split(", "), {} if sizes is None else sizes
    array, options = _as_numbers(values, "integers too" in conditions), axes.split(" or ")
    fitting = [option.split() for option in options if len(option.split()) == np.ndim(array)]
    if not fitting:
        shapes = " or ".join(f"({re.sub('>=[0-9]+', '', option).replace(' ', ', ')})" for option in options)
        here = f"of the type {type(values).__name__}" if array is None else f"of the shape {array.shape}"
        raise InputError(f"{purpose} asks for {name} as an array of numbers {shapes}; this is {here}.")
    kinds = ("rows", "columns") if array.ndim == 2 else ("values",) * array.ndim
    for axis, size, kind in zip(fitting[0], array.shape, kinds, strict=True):
        letter, _, least = axis.partition(">=")
        wanted = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
        if letter != "*" and (size != wanted or size < int(least or 1)):
            number, advice = (f"at least {least or 1}", "more") if size == wanted else (wanted, "as many")
            raise InputError(f"{purpose} needs {number} {kind} of {name}, here are {size}; take {advice}.")
    known = array[~np.isnan(array)] if "NaN too" in conditions else array
    if array.itemsize > 1 and known.size:  # bytes are neither too large nor too small
        size = np.linalg.norm(known) / np.sqrt(known.size)
        vanishes = size < SMALLEST and "may vanish" not in conditions and known.any()
        if vanishes or not size <= LARGEST:
            raise InputError(
                f"{purpose} cannot use {name} that are not finite, or whose squares overflow or vanish; if "
                "they are z-points, the training has diverged: train with a smaller learning rate."
            )
    for holds, message in (CONDITIONS[condition] for condition in conditions if condition in CONDITIONS):
        if array.size and not np.all(mask := holds(array)):
            raise InputError(f"{purpose} cannot use {name}: {message.format(np.argmin(mask))}")
    return array


def _as_numbers(values, integers_too):
    """Array of floats, or integers, where the values are numbers; else None."""
    try:
        array = np.asarray(values)
        if array.dtype in (np.float32, np.float64) or (integers_too and array.dtype.kind in "iub"):
            return array
        return array.astype(np.float64) if array.dtype.kind in "fiubO" else None
    except (TypeError, ValueError, OverflowError):  # ragged lists, objects, integers of hundreds of digits
        return None


def row_slices(n):
    """Slices of at most CHUNK_ROWS rows that together are n rows."""
    return [slice(start, start + CHUNK_ROWS) for start in range(0, n, CHUNK_ROWS)]


def map_rows(function, points, width):
    """Results (n, width), float32, of a `function` that works on each of the points (n, d) by itself.

    Where there are no points yet, `range(n)` stands for them, and the function gets the rows' numbers.
    """
    results = np.empty((len(points), width), dtype=np.float32)
    for rows in row_slices(len(points)):
        results[rows] = function(points[rows])
    return results


def row_lengths(function, points):
    """Lengths (n,) of the vectors that a `function` makes of the points (n, d), each by itself."""
    lengths = [np.linalg.norm(function(points[rows]), axis=1) for rows in row_slices(len(points))]
    return np.concatenate([np.zeros(0, dtype=np.float32), *lengths])


def covariance_about(mean, *clouds):
    """Covariance (d, d), float64, of the points of all clouds (n, d) about their `mean` (d,), float64."""
    covariance = np.zeros((len(mean), len(mean)))
    for points in clouds:
        for rows in row_slices(len(points)):
            centred = points[rows] - mean
            covariance += centred.T @ centred
    return covariance / (sum(map(len, clouds)) - 1)
