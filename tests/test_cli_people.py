"""`trivium users`, `orgs`, `keys`, `settings` and `audit`, over a data folder that nobody else owns."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway


@pytest.fixture
def acme(trivium: CommandLine) -> CommandLine:
    """With its owner `ann`."""
    trivium("users", "create", "--name", "Ann", "--id", "ann", "--email", "ann@acme.example")
    trivium("orgs", "create", "--name", "Acme", "--id", "acme", "--owner", "ann")
    return trivium


class TestUsers:
    def test_one_is_made_shown_and_changed(self, trivium: CommandLine) -> None:
        made = trivium("users", "create", "--name", "Ann", "--id", "ann", "--requests-per-minute", "60", "--staff")
        assert made.stdout == "ann\n"
        heads, row = trivium.table("users", "list")
        assert heads == ["id", "name", "e-mail", "house", "created (UTC)", "blocked (UTC)", "limits"]
        assert (row[:4], row[6]) == (["ann", "Ann", "-", "staff"], "requests_per_minute=60")
        changed = trivium.json("users", "set", "ann", "--no-staff", "--concurrent-requests", "2")
        assert (changed["staff"], changed["limits"]["requests_per_minute"]) == (False, 60)
        assert trivium.json("users", "set", "ann", "--requests-per-minute", "none")["limits"] == {
            "requests_per_minute": None,
            "input_tokens_per_minute": None,
            "output_tokens_per_minute": None,
            "concurrent_requests": 2,
        }
        assert ["limits", "concurrent_requests=2"] in trivium.table("users", "show", "ann")
        assert "is no limit; expected a number, or none" in trivium.refusal(
            "users", "set", "ann", "--requests-per-minute", "many"
        )

    def test_blocks(self, acme: CommandLine) -> None:
        acme("users", "create", "--name", "Bob", "--id", "bob")
        assert acme("users", "block", "ann", "bob", "--why", "spam").stdout == "2 of 2 were not blocked before.\n"
        assert acme.refusal("users", "block", "ann", "nobody") == "trivium: There is no user 'nobody'."
        assert acme("users", "unblock", "ann").stdout == "ann (Ann) is not blocked.\n"
        acme("keys", "create", "--name", "k", "--user", "ann")
        assert acme("users", "revoke-keys", "ann").stdout == "1 keys are revoked.\n"
        assert acme.refusal("users", "block-domain", "a b") == ("trivium: domain: expected a domain, as example.com.")
        said = acme.refusal("users", "create", "--name", "Ann", "--id", "ann")
        assert said == "trivium: There is a user with the id 'ann'."
        taken = acme.refusal("users", "create", "--name", "x", "--email", "ann@acme.example")
        assert taken == "trivium: There is a user with the e-mail address 'ann@acme.example'."
        line = acme.refusal("users", "create", "--name", "x", "--id", "a/b")
        assert line == "trivium: id: expected 1 to 100 letters, digits and ._@-, a letter or digit at the beginning."
        assert acme("users", "block-domain", "Spam.example").stdout == "spam.example is blocked.\n"
        assert acme.table("users", "blocked-domains") == [["domain"], ["spam.example"]]
        assert acme("users", "unblock-domain", "spam.example").stdout == "spam.example is not blocked.\n"


class TestOrganizations:
    def test_it_forbids_that_bodies_are_kept_and_takes_that_back(self, acme: CommandLine) -> None:
        acme("orgs", "policy", "acme", "--zdr")
        forbidden = ["3", "data_collection=allow zdr=True", "-", "forbidden"]
        assert acme.table("orgs", "capture", "acme", "--forbid")[1] == forbidden
        assert acme.json("orgs", "capture", "acme", "--allow")["settings"]["forbid_capture"] is False

    @pytest.mark.parametrize("what", ["policy", "limits", "capture"])
    def test_without_an_option_it_is_shown_and_nothing_is_written(self, acme: CommandLine, what: str) -> None:
        acme("orgs", "limits", "acme", "--requests-per-minute", "5")
        noted = acme.json("audit")
        assert acme.table("orgs", what, "acme")[1] == ["2", "data_collection=allow", "requests_per_minute=5", "-"]
        assert acme.json("orgs", what, "acme")["version"] == 2
        assert acme.json("audit") == noted

    def test_members_and_projects(self, acme: CommandLine) -> None:
        acme("users", "create", "--name", "Bob", "--id", "bob")
        assert acme("orgs", "members", "set", "acme", "bob", "billing").stdout == "bob is billing in acme.\n"
        assert [row[:2] for row in acme.table("orgs", "members", "list", "acme")[1:]] == [
            ["ann", "owner"],
            ["bob", "billing"],
        ]
        assert "no member" in acme("orgs", "members", "remove", "acme", "bob").stdout
        taken = ("orgs", "members", "set", "acme", "bob", "member")
        assert acme(*taken).stdout == "bob is member in acme.\n"
        assert acme("orgs", "members", "accept", "acme", "bob").stdout == "bob is member in acme.\n"
        assert acme("orgs", "projects", "create", "acme", "--name", "P", "--id", "p").stdout == "p\n"
        assert [row[:2] for row in acme.table("orgs", "projects", "list", "acme")[1:]] == [["p", "P"]]
        assert acme("orgs", "projects", "remove", "acme", "p").stdout == "p is gone.\n"
        assert acme("orgs", "rename", "acme", "Acme Ltd").stdout == "acme is called Acme Ltd.\n"
        assert acme.table("orgs", "list")[1][:2] == ["acme", "Acme Ltd"]

    def test_a_policy_says_what_it_says_and_the_rest_stays(self, acme: CommandLine, tmp_path: Path) -> None:
        acme("orgs", "policy", "acme", "--allow-model", "anthropic/*", "--allow-model", "openai/*", "--zdr")
        acme("orgs", "limits", "acme", "--requests-per-minute", "100")
        assert acme.table("orgs", "policy", "acme", "--data-collection", "deny")[1] == [
            "4",
            "models_allow=anthropic/*,openai/* data_collection=deny zdr=True",
            "requests_per_minute=100",
            "-",
        ]
        shown = json.loads(acme("orgs", "show", "acme").stdout)
        (tmp_path / "settings.json").write_text(json.dumps(shown["settings"]))
        assert acme.table("orgs", "policy", "acme", "--anew", "--deny-model", "m")[1][1] == (
            "models_deny=m data_collection=allow"
        )
        assert "changed meanwhile" in acme.refusal(
            "orgs", "settings", "acme", "--version", "4", f"{tmp_path}/settings.json"
        )
        restored = acme.json("orgs", "settings", "acme", f"{tmp_path}/settings.json")
        assert restored == {"version": 6, "settings": shown["settings"]}


class TestKeys:
    def test_what_a_key_is_good_for(self, acme: CommandLine) -> None:
        words = ["--api", "messages", "--model", "up/*", "--network", "10.0.0.0/8", "--requests-per-minute", "5"]
        owner = ("--organization", "acme", "--user", "ann", "--expires", "90d")
        made = acme("keys", "create", "--name", "ci", *owner, *words)
        assert made.stdout.startswith("tv-")
        shown = dict(row for row in acme.table("keys", "show", "ci") if len(row) == 2)
        assert shown["scopes"] == "apis=messages models=up/* networks=10.0.0.0/8"
        assert (shown["limits"], shown["account_id"]) == ("requests_per_minute=5", "acme")
        assert shown["ceiling"].startswith(f"{shown['scopes']} requests_per_minute=5 expires=20")
        changed = acme.json("keys", "set", "ci", "--all-scopes", "--no-expiry", "--budget", "5", "--period", "day")
        assert (changed["expires_ms"], changed["scopes"]["apis"]) == (None, [])
        assert changed["limits"]["requests_per_minute"] == 5
        assert [row[1:4] for row in acme.table("budgets", "list")[1:]] == [[f"key:{changed['id']}", "day", "5"]]
        assert acme.refusal("keys", "set", "ci", "--budget", "5").endswith("--budget 5 --period day.")
        assert [row[0] for row in acme.table("keys", "list", "--organization", "acme")[1:]] == [changed["id"]]
        assert len(acme.table("keys", "list", "--user", "bob")) == 1

    def test_a_new_text(self, acme: CommandLine) -> None:
        first = acme("keys", "create", "--name", "k", "--short-lived").stdout
        second = acme("keys", "rotate", "k", "--overlap", "0")
        assert second.stdout.startswith("tv-")
        assert second.stdout != first
        assert "copy the key now" in second.stderr

    @pytest.mark.parametrize("expires", ["yesterday", "2020-01-01", "5"])
    def test_a_time_that_is_none_or_over_is_refused(self, acme: CommandLine, expires: str) -> None:
        line = acme.refusal("keys", "create", "--name", "k", "--expires", expires)
        assert "is no time; expected" in line or "would have expired already" in line


class TestSettings:
    def test_gates_and_limits(self, acme: CommandLine, tmp_path: Path) -> None:
        acme("settings", "gate", "messages", "--open-to", "admins", "--user", "ann")
        acme("settings", "gate", "up/*", "--open-to", "named", "--organization", "acme")
        acme("settings", "limits", "key", "--requests-per-minute", "60")
        acme("settings", "limits", "up/dear", "--concurrent-requests", "2")
        told = json.loads(acme("settings", "show").stdout)
        assert told["version"] == 4
        said = told["settings"]
        assert said["apis"] == {"messages": {"open_to": "admins", "organizations": [], "users": ["ann"]}}
        assert said["models"]["up/*"]["organizations"] == ["acme"]
        assert said["key_limits"]["requests_per_minute"] == 60
        assert said["limits_by_model"]["up/dear"]["concurrent_requests"] == 2
        (tmp_path / "house.json").write_text(json.dumps(said))
        acme("settings", "gate", "messages", "--open-to", "everyone")
        acme("settings", "limits", "up/dear", "--concurrent-requests", "none")
        after = json.loads(acme("settings", "show").stdout)["settings"]
        assert (after["apis"], after["limits_by_model"]) == ({}, {})
        restored = acme("settings", "set", "-", given=json.dumps(said).encode())
        assert json.loads(restored.stdout)["settings"] == said
        assert "changed meanwhile" in acme.refusal("settings", "set", f"{tmp_path}/house.json", "--version", "1")
        assert "cannot be read" in acme.refusal("settings", "set", f"{tmp_path}/nothing.json")

    @pytest.mark.parametrize(
        ("words", "meant"),
        [
            (("gate", "mesages", "--open-to", "admins"), "messages"),
            (("gate", "chat-completion", "--open-to", "admins"), "chat_completions"),
            (("gate", "chat", "--open-to", "admins"), "chat_completions"),
            (("limits", "keys", "--requests-per-minute", "60"), "key"),
            (("limits", "Organisation", "--requests-per-minute", "60"), "organization"),
        ],
    )
    def test_a_misspelt_word_is_no_model(self, acme: CommandLine, words: tuple[str, ...], meant: str) -> None:
        line = acme.refusal("settings", *words)
        assert f"{words[1]!r} is none of " in line
        assert f"Did you mean {meant!r}?" in line
        assert json.loads(acme("settings", "show").stdout)["version"] == 0

    def test_what_is_taken_for_a_model_is_said_to_be_one_and_can_be_taken_back(self, acme: CommandLine) -> None:
        house = {"models": {"mesages": {"open_to": "admins"}}, "limits_by_model": {"keys": {"concurrent_requests": 1}}}
        acme("settings", "set", "-", given=json.dumps(house).encode())
        gone = acme("settings", "gate", "mesages", "--open-to", "everyone").stdout
        assert gone == "mesages (models) is open to everyone. The settings have version 2.\n"
        assert acme("settings", "limits", "keys", "--concurrent-requests", "none").exit_code == 0
        set_ = acme("settings", "limits", "gpt-5", "--requests-per-minute", "60").stdout
        assert set_ == "gpt-5 (models): requests_per_minute=60. The settings have version 4.\n"


def test_the_log_says_who_did_what(acme: CommandLine) -> None:
    acme("keys", "create", "--name", "k", "--organization", "acme")
    heads, first, *_ = acme.table("audit")
    assert heads == ["seq", "time (UTC)", "who", "what", "organization", "of"]
    assert first[2:5] == ["operator", "keys.create", "acme"]
    assert [row["action"] for row in acme.json("audit", "--limit", "2")] == ["keys.create", "orgs.create"]
    assert [row["action"] for row in acme.json("audit")] == ["keys.create", "orgs.create", "users.create"]
    assert len(acme.json("audit", "--organization", "acme")) == 2


async def test_a_running_gateway_takes_it_into_use(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    trivium = CommandLine(data)
    async with beside_a_gateway(data) as gateway:
        await asyncio.to_thread(trivium, "settings", "gate", "messages", "--open-to", "admins")
        assert gateway.deps.house.apis["messages"].open_to == "admins"


def test_a_list_of_more_than_can_be_had_at_once_is_whole(trivium: CommandLine) -> None:
    async def fill() -> None:
        store = trivium.store()
        for n in range(205):
            store.keys.create(f"k{n}")
        await store.close()

    asyncio.run(fill())
    assert len(trivium.json("keys", "list")) == 205
