"""Losses: none is silent, and a hundred of one kind are told once."""

from __future__ import annotations

from trivium.wire.losses import Loss, Losses


def told(*found: tuple[str, str]) -> tuple[Loss, ...]:
    losses = Losses()
    for field, why in found:
        losses.add(field, why)
    assert len(losses) == len(losses.told())
    return losses.told()


def test_nothing_lost_is_nothing_told() -> None:
    assert told() == ()


def test_losses_are_told_in_the_order_in_which_they_were_found() -> None:
    assert told(("seed", "unknown"), ("n", "one")) == (Loss("seed", "unknown"), Loss("n", "one"))


def test_those_alike_but_for_their_places_are_told_once_with_the_first_place_and_their_number() -> None:
    found = told(
        ("messages[0].content[1]", "audio"), ("messages[2].content[0]", "audio"), ("messages[9].content[0]", "audio")
    )
    assert found == (Loss("messages[0].content[1]", "audio (and 2 more like it)", 3),)


def test_the_same_field_for_two_reasons_is_two_losses() -> None:
    assert len(told(("tools[0]", "unknown"), ("tools[0]", "too long"))) == 2


def test_another_field_at_the_same_place_is_another_loss() -> None:
    assert len(told(("tools[0].strict", "unknown"), ("tools[0].cache_control", "unknown"))) == 2


def test_where_there_are_too_many_kinds_the_others_are_a_number() -> None:
    found = told(*[(f"k{n}", "unknown") for n in range(100_000)], ("k0", "unknown"))
    assert (len(found), found[0], found[-1]) == (201, Loss("k0", "unknown"), Loss("...", "99801 more", 99_801))
