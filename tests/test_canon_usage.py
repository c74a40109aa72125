"""The buckets of usage."""

from trivium.canon.usage import Usage


def test_input_is_the_sum_of_its_disjoint_buckets() -> None:
    usage = Usage(input_uncached=10, cache_read=5, cache_write_5m=40, cache_write_1h=7, cache_write_other=3)
    assert usage.cache_write == 50
    assert usage.input == 65
