"""Mixes are drawn from (seed, pass, batch) alone, and distributed as their alphas say."""

import numpy as np
import pytest
from scipy import stats

from gpuio.errors import OptionError
from gpuio.plan.mix import Mixer
from support.tables import options

ALL = np.ones(16, bool)
FROZEN_SHARE = 0.9185462419171746
FROZEN_PARTNER = [15, 7, 10, 1, 13, 0, 5, 14, 8, 3, 6, 12, 4, 11, 9, 2]


def mixer(**given):
    return Mixer(options(**{"data_shape": (3, 40, 60), "num_classes": 10, **given}))


def draws(count=2000, present=ALL, **given):
    made = mixer(**given)
    return [made.draw(0, number, present) for number in range(count)]


def test_one_mix_is_what_it_always_was():
    mix = mixer(mixup_alpha=0.2, seed=42).draw(3, 7, ALL)
    assert mix.share == FROZEN_SHARE
    assert mix.partner.tolist() == FROZEN_PARTNER


def test_a_mix_depends_on_seed_pass_and_batch():
    def drawn(seed=1, pass_index=2, number=3):
        mix = mixer(cutmix_alpha=1.0, seed=seed).draw(pass_index, number, ALL)
        return (mix.share, mix.box, mix.partner.tolist())

    assert drawn() == drawn()
    assert len({str(drawn(**{name: 9})) for name in ("seed", "pass_index", "number")}) == 3
    assert all(drawn(**{name: 9}) != drawn() for name in ("seed", "pass_index", "number"))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_have_the_beta_distribution(alpha):
    shares = [mix.share for mix in draws(mixup_alpha=alpha)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_partners_are_a_permutation_of_the_rows_with_an_image():
    present = ALL.copy()
    present[[3, 9]] = False
    seen = np.zeros(16)
    for mix in draws(800, present, mixup_alpha=1.0):
        assert sorted(mix.partner) == list(range(16))
        assert (mix.partner[[3, 9]] == [3, 9]).all()
        seen[mix.partner[0]] += 1
    assert stats.chisquare(seen[present]).pvalue > 0.01


def test_boxes_lie_inside_and_the_share_is_what_they_leave():
    for mix in draws(cutmix_alpha=1.0):
        y, x, h, w = mix.box
        assert 0 <= y <= y + h <= 40
        assert 0 <= x <= x + w <= 60
        assert mix.share == 1 - h * w / (40 * 60)


def test_with_both_each_batch_takes_one_of_them():
    cut = sum(mix.box is not None for mix in draws(mixup_alpha=0.3, cutmix_alpha=0.3))
    assert stats.binomtest(cut, 2000, 0.5).pvalue > 0.01


def test_without_an_alpha_or_an_image_nothing_is_mixed():
    assert draws(3) == [None] * 3
    assert draws(3, ~ALL, mixup_alpha=1.0) == [None] * 3


def test_labels_are_weights_of_classes():
    made = mixer(mixup_alpha=1.0)
    labels = np.arange(16, dtype=np.float32) % 10
    present = ALL.copy()
    present[5] = False
    labels[5] = -7  # nobody looks at it
    plain = made.soften(labels, present, None)
    assert plain.dtype == np.float32
    assert (plain.argmax(1)[present] == labels[present]).all()
    assert plain.sum(1).tolist() == present.tolist()
    mix = made.draw(0, 0, present)
    soft = made.soften(labels, present, mix)
    share = np.float32(mix.share)
    expected = plain * share + plain[mix.partner] * (np.float32(1) - share)
    other = mix.partner != np.arange(16)
    assert np.array_equal(soft[other], expected[other])
    assert np.array_equal(soft[~other], plain[~other])
    assert np.allclose(soft.sum(1), present)


@pytest.mark.parametrize("label", [-1, 10, 2.5, np.nan])
def test_a_label_that_is_no_class_is_named(label):
    labels = np.array([1, label, 2], np.float32)
    row, error = mixer().first_invalid_label(labels, np.array([True, True, True]))
    assert row == 1
    assert f"label {label:g} is not a class: num_classes=10" in str(error)
    assert mixer().first_invalid_label(labels, np.array([True, False, True])) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"num_classes": None, "mixup_alpha": 1}, "mixup_alpha: needs num_classes"),
        ({"num_classes": None, "cutmix_alpha": 1}, "cutmix_alpha: needs num_classes"),
        ({"dtype": "uint8", "cutmix_alpha": 1}, "cutmix_alpha: needs a dtype of floats, .*uint8"),
        ({"label_width": 2}, "num_classes: needs one label per record, but label_width=2"),
        ({"mixup_alpha": -1}, "mixup_alpha: expected a number of at least 0"),
        ({"num_classes": 0}, "num_classes: expected a whole number"),
    ],
)
def test_a_conflict_is_refused_by_name(given, says):
    with pytest.raises(OptionError, match=says):
        mixer(**given)
