"""SEC-6: how a file of API keys reads, and what its keys are called."""

import pytest

from ponder.core.errors import UserError
from ponder.server.accounts.keyring import Keyring
from ponder.server.accounts.keys import client_names, parse
from ponder.server.config import ServerConfig

ONE, TWO, THREE = "sk-1" * 5, "sk-2:" * 5, "sk-3" * 5


def test_comments_and_blank_lines_are_no_keys_and_names_are_read() -> None:
    text = f"\ufeff# who may come in\n\nalice: {ONE}\r\n  {TWO}  \n\t# bob left\nc.d@e-f:\t{THREE} # of the laptop\n"
    assert parse(text, "keys") == {ONE: "alice", TWO: "", THREE: "c.d@e-f"}


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (f"{ONE}\nshort", "line 2: a key needs 16 characters"),
        (f"a: {ONE}\n\nb: {ONE}", "line 3: this key stands there twice"),
        (f"a: {ONE}\na: {TWO}", "line 2: the name a stands there twice"),
        (f"{ONE} {TWO}", "line 1: one key a line"),
        (f"my laptop: {ONE}", "line 1: one key a line"),
        ("schlüssel-schlüssel", "line 1: a key is made of ASCII"),
        *(
            (text, "line 1: a name is followed by a colon and a blank")
            for text in (
                f"alice:{ONE}",
                f"alice={ONE}",
                f"API_KEY={ONE}",
                f'"{ONE}"',
                f"alice: '{ONE}'",
                f"{ONE},",
            )
        ),
        ("# nothing\n\n", "there is no key in it"),
        ("", "there is no key in it"),
    ],
)
def test_what_is_no_key_is_refused_with_its_line(text: str, content: str) -> None:
    with pytest.raises(UserError, match=content) as error:
        parse(text, "--api-key-file keys")
    assert str(error.value).startswith("--api-key-file keys") and ONE not in str(error.value)


def test_keys_of_any_letters() -> None:
    for key in (f"{ONE}==", f"sk-{ONE}.x_y/z+w", f"!{ONE}~#$%&"):
        assert parse(f"a: {key}", "keys") == {key: "a"}


def test_a_name_outlives_its_key_and_a_key_without_one_is_not_told() -> None:
    assert client_names((ONE,), {ONE: "alice"})[ONE] == client_names((TWO,), {TWO: "alice"})[TWO] == "alice"
    names = client_names((ONE, TWO), {ONE: ""})
    assert len(set(names.values())) == 2 and not any(key in name for key in names for name in names.values())
    with pytest.raises(UserError, match="two keys are called alice"):  # the user would manage models as the admin does
        ServerConfig(api_keys=(ONE,), admin_keys=(TWO,), key_names={ONE: "alice", TWO: "alice"})


@pytest.mark.parametrize(
    ("keys", "admins", "heirs"),
    [
        ((), (), ()),
        ((ONE,), (), ("one",)),  # the only person there is
        ((ONE, TWO), (), ()),  # nobody knows whose it is
        ((ONE, TWO), (TWO, THREE), ("two", "three")),
    ],
)
def test_who_gets_what_was_left_without_a_key(
    keys: tuple[str, ...], admins: tuple[str, ...], heirs: tuple[str, ...]
) -> None:
    names = {ONE: "one", TWO: "two", THREE: "three"}
    named = {key: names[key] for key in (*keys, *admins)}
    assert Keyring(ServerConfig(api_keys=keys, admin_keys=admins, key_names=named)).heirs() == set(heirs)
