"""The accounts as tables."""

from __future__ import annotations

from tests.audit.account import Account
from tests.audit.group_account import GroupAccount
from tests.audit.growth import GrowthAccount
from tests.audit.socket_account import SocketAccount

__all__ = ["AnyAccount", "table"]

AnyAccount = Account | GroupAccount | GrowthAccount | SocketAccount

#: Figures of which none may be above 0.
WRONG = frozenset(
    (
        *("unaccounted", "twice", "out_of_order", "never_sent", "refused_yet_delivered", "late"),
        *("missed", "not_for_them", "too_slow_to_vanish"),
        *("at_once", "sockets_closed", "sockets_stuck"),
    )
)


def table(account: AnyAccount) -> str:
    """Return the account in lines, what is wrong with it last."""
    rows = growth_rows(account) if isinstance(account, GrowthAccount) else figure_rows(account)
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {text}" for name, text in rows]
    if isinstance(account, GrowthAccount):
        return "\n".join([*lines, *(f"has grown: {each}" for each in account.grown)])
    lines += [f"disagrees with the layer's figures: {each}" for each in account.disagreements]
    return "\n".join([*lines, *(f"for instance: {each}" for each in account.examples)])


def figure_rows(account: Account | GroupAccount | SocketAccount) -> list[tuple[str, str]]:
    rows = []
    for name, figure in account.dump().items():
        if isinstance(figure, int | float) and not isinstance(figure, bool):
            mark = "  (must be 0)" if name in WRONG and figure else ""
            text = f"{figure:>12,}" if isinstance(figure, int) else f"{figure:>12,.2f}"
            rows.append((name.replace("_", " "), text + mark))
    return rows


def growth_rows(account: GrowthAccount) -> list[tuple[str, str]]:
    rows = [
        ("messages", f"{account.messages:>15,}"),
        ("messages a second", f"{account.messages_per_second:>15,.0f}"),
        ("", f"{'second quarter':>15}{'last quarter':>15}{'may grow by':>15}{'left':>15}"),
    ]
    for name, before in sorted(account.second_quarter.items()):
        figures = (before, account.last_quarter[name], account.bounds[name])
        left = f"{account.left[name]:>15,.0f}" if name in account.left else ""
        rows.append((name, "".join(f"{figure:>15,.0f}" for figure in figures) + left))
    return rows
