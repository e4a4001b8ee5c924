"""Philox4x32-10 against the known answers of Random123, and the bits that dropout takes from it."""

import numpy as np
import pytest

from minicnn.functional.philox import philox4x32, random_bits

# Salmon et al. 2011, Random123's kat_vectors: counter, key (low word first), answer.
KNOWN_ANSWERS = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],  # the digits of π
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter, key, answer):
    words = philox4x32(tuple(np.array([word], dtype=np.uint64) for word in counter), key[0] | key[1] << 32)
    assert [int(word[0]) for word in words] == answer


def test_the_first_block_of_seed_0_and_offset_0_is_the_known_answer():
    np.testing.assert_array_equal(random_bits(np, 4, seed=0, offset=0), KNOWN_ANSWERS[0][2])


def test_a_position_has_the_same_bits_however_many_are_drawn():
    many = random_bits(np, 1003, seed=7, offset=5)
    assert many.dtype == np.uint32
    for count in (0, 1, 3, 4, 5, 1000):
        np.testing.assert_array_equal(random_bits(np, count, seed=7, offset=5), many[:count])


def test_seed_and_offset_count_in_all_their_64_bits():
    seen = {
        random_bits(np, 8, seed, offset).tobytes()
        for seed, offset in [(0, 0), (1, 0), (0, 1), (1 << 32, 0), (0, 1 << 32), (1 << 63, 0), (0, 1 << 63)]
    }
    assert len(seen) == 7


def test_bits_are_balanced_and_independent_of_their_neighbours():
    bits = random_bits(np, 1 << 16, seed=3, offset=1)
    ones = np.array([(bits >> np.uint32(i) & 1).mean() for i in range(32)])
    # Each mean has a standard deviation of 1 / 512: five of them.
    np.testing.assert_allclose(ones, 0.5, atol=5 / 512)
    uniform = bits / 2.0**32
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 5 / 256
