import numpy as np
import pytest
from scipy import stats

from helpers.files import InputError
from helpers.latent import fits as fits_module
from helpers.latent import surrogates

FACTS = (1.35, 1.45, 1.55, 1.7, 1.8)  # of IX-071


def test_survivor_curve_agrees_with_trimming_fact_by_fact():
    z = np.random.default_rng(0).standard_normal((5000, 16)).astype("f4") * np.linspace(0.5, 3, 16) + 1
    counts = fits_module.survivor_counts(z, FACTS)
    assert counts.tolist() == [fits_module.trim_outliers(z, fact).sum() for fact in FACTS]
    fits = fits_module.GaussianFits(np.zeros(16), np.full(16, 2.0), None, None)
    assert fits_module.survivor_counts(z, [1.0], fits)[0] == fits_module.trim_outliers(z, 1.0, fits).sum()
    assert fits_module.survivor_counts(z, [1e9]).tolist() == [5000]


def test_independent_gaussians_leave_what_the_checklist_says():
    left = fits_module.independent_survivors(170_000, 256, FACTS)
    assert left == pytest.approx([116_420, 144_338, 158_959, 167_302, 169_024], abs=1)  # IX-072 to IX-076


def test_independent_gaussians_leave_what_a_simulation_leaves():
    z = np.random.default_rng(0).standard_normal((40_000, 32))
    left, expected = (
        fits_module.survivor_counts(z, [1.1, 1.3]),
        fits_module.independent_survivors(40_000, 32, [1.1, 1.3]),
    )
    assert left == pytest.approx(expected, rel=0.01)


def test_trimmed_surrogate_has_moments_and_limits_of_the_core():
    rng = np.random.default_rng(0)
    mixing = np.eye(24) + rng.standard_normal((24, 24)) / 8
    z = (rng.standard_normal((20_000, 24)) @ mixing + 2).astype("f4")
    core = z[fits_module.trim_outliers(z, 1.25)]
    noise = surrogates.trimmed_surrogate(core, len(core), rng, 1.25)
    assert noise.dtype == np.float32
    assert noise.shape == core.shape
    assert noise.mean(axis=0) == pytest.approx(core.mean(axis=0), abs=1e-4)
    assert np.allclose(np.cov(noise, rowvar=False), np.cov(core, rowvar=False), atol=1e-3)
    largest, expected = (np.abs(points - 2).max(axis=0) for points in (noise, core))
    assert largest == pytest.approx(expected, rel=0.05)
    shape, expected = (np.median(stats.kurtosis(points)) for points in (noise, core))
    assert expected < -0.1  # trimming makes tails light, in both alike
    assert shape == pytest.approx(expected, abs=0.03)


def test_trimmed_surrogate_can_be_drawn_in_part_and_anew():
    core = np.random.default_rng(0).standard_normal((300, 8)).astype("f4")
    core = core[fits_module.trim_outliers(core, 1.25)]
    one, other = (
        surrogates.trimmed_surrogate(core, 50, np.random.default_rng(seed), 1.25) for seed in (1, 2)
    )
    assert one.shape == (50, 8)
    assert np.abs(one - other).mean() > 0.5
    assert np.array_equal(one, surrogates.trimmed_surrogate(core, 50, np.random.default_rng(1), 1.25))


def test_a_fact_that_leaves_next_to_nothing_gets_a_clear_sentence():
    core = np.random.default_rng(0).standard_normal((300, 100))
    with pytest.raises(InputError, match=r"fact 0\.5 leaves less than 1 %"):
        surrogates.trimmed_surrogate(core, 300, np.random.default_rng(0), 0.5)
