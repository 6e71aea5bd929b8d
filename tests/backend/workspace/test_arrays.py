import math

import numpy as np
import pytest

from backend.workspace.arrays import concordance, correlation, decode_srgb, encode_srgb, filled, ridge, smoothstep


def test_correlation_leaves_out_frames_without_a_face():
    one = np.array([0.0, 1, 2, np.nan, 4, 5])
    assert correlation(one, 3 * one + 2) == pytest.approx(1)
    assert correlation(one, -one) == pytest.approx(-1)
    assert math.isnan(correlation(one, np.ones(6)))
    assert round(correlation(one, one), 3) == 1, "a number, not an array"


def test_correlation_is_pearson_s_of_every_column():
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 50, 3))
    other[:, 2] = 4
    found = correlation(one, one + other)
    assert found == pytest.approx([np.corrcoef(one[:, k], (one + other)[:, k])[0, 1] for k in range(3)])
    assert np.isnan(correlation(one, other)[2])


def test_concordance_falls_with_an_offset_and_another_scale():
    values = np.random.default_rng(0).normal(size=500)
    assert concordance(values, values) == pytest.approx(1)
    moved = concordance(values + 1, values)
    assert moved == pytest.approx(2 * values.var() / (2 * values.var() + 1))
    assert concordance(2 * values, values) < 1


def test_gaps_are_filled_in_time():
    values = np.array([[9.0, 9], [1, 10], [9, 9], [3, 30], [9, 9]])
    known = np.array([False, True, False, True, False])
    assert filled(values, known).tolist() == [[1, 10], [1, 10], [2, 20], [3, 30], [3, 30]]
    assert filled(values[:, 0], known).tolist() == [1, 1, 2, 3, 3]
    assert filled(values[:, :, None], known).shape == (5, 2, 1)
    assert not filled(values, np.zeros(5, bool)).any()


def test_a_ridge_regression_shrinks_the_weights():
    generator = np.random.default_rng(0)
    rows, weights = generator.normal(size=(200, 4)), np.array([1.0, -2, 0.5, 3])
    normal, right = rows.T @ rows, rows.T @ (rows @ weights)
    assert ridge(normal, right, 0) == pytest.approx(weights)
    assert np.linalg.norm(ridge(normal, right, 100)) < np.linalg.norm(weights)
    assert ridge(normal, right, np.array([0, 0, 0, 1e9]))[3] == pytest.approx(0, abs=1e-5)


def test_smoothstep_runs_either_way():
    assert smoothstep(0, 2, np.array([-1.0, 0, 1, 2, 3])).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(2, 0, np.array([-1.0, 1, 3])).tolist() == [1, 0.5, 0]


def test_srgb_s_curve_and_back():
    linear = np.linspace(0, 1, 1001)
    assert decode_srgb(encode_srgb(linear)) == pytest.approx(linear, abs=1e-6)
    assert encode_srgb(np.array(0.18)) == pytest.approx(0.4614, abs=1e-3)
