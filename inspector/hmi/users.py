"""`inspector hmi-user`: accounts from a shell of the machine, for who may read hmi.db."""

import getpass
from pathlib import Path

from inspector.contract.errors import ConfigError
from inspector.hmi.access import Role
from inspector.hmi.accounts import AccountError, Accounts
from inspector.hmi.audit import Audit
from inspector.hmi.settings import HmiSettings, read_hmi_settings
from inspector.hmi.store import Store

WORDS = {
    "name": "must be letters, digits, '.', '_' and '-', at most 32",
    "name_taken": "there is one of this name",
    "no_account": "there is no such account",
    "last_admin": "is the last administrator: nobody could let anybody in any more",
    "full": "there are too many accounts",
}


def run(path: Path, what: str, name: str | None, role: Role | None) -> list[str]:
    """What to print. Raises ConfigError, RecordError."""
    settings = read_hmi_settings(path)
    store = Store(settings.state_folder)
    try:
        accounts = Accounts(store, settings.session)
        if what == "list":
            return [
                f"{each['name']:<32} {each['role']:<9} "
                f"{'may log in' if each['ready'] else 'has no password yet'}"
                for each in accounts.all()
            ]
        if name is None:
            raise ConfigError(f"hmi-user {what}: needs NAME")
        with store.changing():
            return _change(settings, accounts, Audit(store), what, name, role)
    except AccountError as error:
        raise ConfigError(f"hmi-user {what} {name}: {WORDS.get(str(error), error)}") from None
    finally:
        store.close()


def _change(
    settings: HmiSettings, accounts: Accounts, audit: Audit, what: str, name: str, role: Role | None
) -> list[str]:
    who = {"who": f"shell: {getpass.getuser()}", "address": "-"}
    (origin, *_) = settings.listen.known_origins
    match what:
        case "add" | "link":
            token = accounts.link(name) if what == "link" else accounts.add(name, _given(role))
            audit.add(**who, what=f"{what} {name}", new=role)
            return [f"for {name}, once, within a day: {origin}/welcome#{token}"]
        case "role":
            old = accounts.change_role(name, _given(role))
            audit.add(**who, what=f"change role of {name}", old=old, new=role)
            return [f"{name}: {role}, was {old}"]
        case _:
            old = accounts.remove(name)
            audit.add(**who, what=f"remove account {name}", old=old)
            return [f"{name}: removed"]


def _given(role: Role | None) -> Role:
    if role is None:
        raise ConfigError("hmi-user: needs --role")
    return role
