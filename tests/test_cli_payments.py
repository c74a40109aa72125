"""`trivium payments`, beside a gateway that sells credits, and where none does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support_cli import CommandLine
from support_dashboard import dashboard
from support_stripe import SETTINGS, Shop, stripe


def test_where_no_payments_are_taken(tmp_path: Path) -> None:
    assert "No payments are taken here" in CommandLine(tmp_path).refusal("payments", "list")


async def test_a_payment_from_its_page_to_a_card_that_is_charged_by_itself() -> None:
    async with stripe() as fake, dashboard(SETTINGS.replace("{stripe}", fake.url)) as house:
        shop, folder = Shop(house, fake), house.gateway.folder
        await shop.do("accounts.create", name="Acme", id="acme")
        home = CommandLine(folder)
        home.env["TRIVIUM_CONFIG"] = str(folder / "trivium.toml")
        url = (
            await asyncio.to_thread(home, "payments", "begin", "--account=acme", "--usd=10", "--save")
        ).stdout.strip()
        session = url.rpartition("/")[2]
        assert url == fake.sessions[session]["url"]
        await shop.tell(*fake.pay(session))

        heads, row = await asyncio.to_thread(home.table, "payments", "list")
        assert heads[1:4] == ["id", "account", "kind"]
        assert row[2:6] == ["acme", "checkout", "paid", "10"]
        told = await asyncio.to_thread(home, "payments", "show", row[1])
        assert '"credited_usd": "10"' in told.stdout

        auto = ("payments", "auto")
        terms = ("--account=acme", "--below-usd=20", "--usd=10", "--month-usd=100")
        agreed = await asyncio.to_thread(home, *auto, "set", *terms)
        assert agreed.stdout == "acme: visa 4242 is charged from now on.\n"
        _, row = await asyncio.to_thread(home.table, *auto, "list")
        assert row[:7] == ["acme", "True", "20", "10", "100", "0", "visa 4242"]
        assert (await asyncio.to_thread(home, *auto, "off", "--account=acme")).exit_code == 0
        assert (await asyncio.to_thread(home, "payments", "remove-card", "--account=acme")).exit_code == 0
        assert "no saved card" in await asyncio.to_thread(home.refusal, "payments", "remove-card", "--account=acme")

        (paid,) = [one for one in fake.pay(session) if one["type"] == "checkout.session.completed"]
        paid["data"]["object"]["metadata"]["trivium_payment"] = "pay_unknown"
        await shop.tell(paid)
        _, row = await asyncio.to_thread(home.table, "payments", "strays", "list")
        assert row[1:3] == [paid["id"], "paid"]
        assert (await asyncio.to_thread(home, "payments", "strays", "end", paid["id"])).exit_code == 0
        assert await asyncio.to_thread(home.json, "payments", "strays", "list") == []
