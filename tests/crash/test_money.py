"""Money to the last digit, through whole cycles: fees in any asset, parts, and amounts the exchange cuts off."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.crash.cells import CROSSING, clean
from tests.crash.command import command
from tests.crash.world import SYMBOL, Trial, World, strategy


def _there_and_back(trial: Trial) -> None:
    clean(trial.run())
    ((held,),) = trial.rows("SELECT quantity FROM positions")
    bought = _standing(trial)
    assert (bought["quantity"], bought["realised"]) == (held, 0)
    trial.leap()
    trial.change(strategies=[strategy("flat")])
    clean(trial.run())
    sold = _standing(trial)
    ((gone,),) = trial.rows("SELECT quantity FROM orders WHERE side = 'SELL'")
    assert sold["quantity"] == sold["dust"] == held - gone
    assert sold["realised"] != 0
    assert trial.wrongs() == []
    assert [order["status"] for order in trial.simulator.orders()] == ["FILLED", "FILLED"]


def _standing(trial: Trial) -> dict[str, Decimal]:
    """What the newest cycle says of the position; its profit is all of what equity has gained, to the last digit."""
    (equity, standing), *_ = trial.rows("SELECT equity, positions -> 0 FROM cycles ORDER BY open_time DESC")
    figures = {
        name: Decimal(standing[name]) for name in ("quantity", "dust", "realised", "unrealised", "fees")
    }
    assert figures["realised"] + figures["unrealised"] - figures["fees"] == equity - 1000
    return figures


@pytest.mark.parametrize("in_bnb", [False, True], ids=["in what is bought", "in BNB"])
def test_fees_leave_exchange_and_books_agreed(world: World, in_bnb: bool) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        account = {
            "taker_fee": "0.00123457",
            "fees_in_bnb": in_bnb,
            "deposit": {"BNB": "1" if in_bnb else "0"},
        }
        trial.simulator.control("settings", accounts={"paper": account}, fill_parts=3, slippage_ticks=1)
        _there_and_back(trial)
        assert {asset for (asset,) in trial.rows("SELECT commission_asset FROM fills")} == (
            {"BNB"} if in_bnb else {"BTC", "USDT"}
        )
        ((paid, fees),) = trial.rows(
            "SELECT sum(commission_quote), (SELECT sum(fees) FROM positions) FROM fills"
        )
        assert fees == (paid if in_bnb else 0)
        assert Decimal("2.3") * Decimal("0.7") < paid < Decimal("2.6"), (
            "about 0.12 % of 1000, twice; less in BNB"
        )


def _in_bnb(trial: Trial) -> None:
    trial.simulator.control("settings", accounts={"paper": {"fees_in_bnb": True, "deposit": {"BNB": "1"}}})


def test_a_fee_in_bnb_is_worth_its_newest_stored_close(world: World) -> None:
    symbols = [SYMBOL, "BNBUSDT"]
    with world.trial(symbols=symbols, trading__limit_offset=CROSSING) as trial:
        _in_bnb(trial)
        trial.change(strategies=[{**strategy(), "symbols": [SYMBOL]}])
        clean(trial.run())
        ((paid, worth),) = trial.rows("SELECT sum(commission), sum(commission_quote) FROM fills")
        assert worth == (paid * Decimal(trial.close("BNBUSDT"))).quantize(Decimal("1E-8"))
        _standing(trial)


def test_a_fee_that_nothing_values_is_listed_and_the_fill_is_booked(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        _in_bnb(trial)
        trial.simulator.control(
            "settings", prices={"BNBUSDT": None}, symbols={"BNBUSDT": {"status": "BREAK"}}
        )
        trial.simulator.fault("GET /api/v3/ticker/price", {"code": -1000, "msg": "for a test"}, times=1000)
        trial.change(risk__price_collar="0")
        trial.run()
        ((paid,),) = trial.rows("SELECT commission FROM fills WHERE commission_quote IS NULL")
        assert trial.rows("SELECT asset, amount FROM unvalued_fees") == [("BNB", paid)]
        assert f"{paid} BNB" in command(trial.environment(), "positions", "--json").answer
        _standing(trial)


def test_fees_that_are_taken_from_bnb_that_is_held_leave_less_of_it(world: World) -> None:
    symbols = [SYMBOL, "BNBUSDT"]
    bnb = {**strategy(name="bnb"), "symbols": symbols[1:]}
    with world.trial(symbols=symbols, trading__limit_offset=CROSSING) as trial:
        trial.simulator.control("settings", accounts={"paper": {"fees_in_bnb": True}})
        trial.change(strategies=[{**strategy(), "symbols": symbols[:1]}, bnb])
        clean(trial.run())
        for target in ("flat", "long", "flat"):
            trial.leap()
            trial.hold(trial.close("BNBUSDT"), "BNBUSDT")
            trial.change(strategies=[{**strategy(target), "symbols": symbols[:1]}, bnb])
            clean(trial.run())
        trial.leap()
        trial.hold(trial.close("BNBUSDT"), "BNBUSDT")
        trial.change(strategies=[{**bnb, "parameters": {"target": "flat"}}])
        clean(trial.run())
        assert trial.rows("SELECT count(*) > 0 FROM fee_charges WHERE quote_value > 0") == [(True,)]
        assert trial.rows(
            "SELECT c.equity - c.capital - sum((p ->> 'realised')::numeric + (p ->> 'unrealised')::numeric "
            "- (p ->> 'fees')::numeric) FROM cycles AS c, jsonb_array_elements(c.positions) AS p "
            "GROUP BY c.open_time, c.equity, c.capital ORDER BY c.open_time DESC LIMIT 1"
        ) == [(0,)]
        assert {order["status"] for order in trial.simulator.orders()} == {"FILLED"}
        assert trial.wrongs() == []


def test_an_amount_with_more_digits_than_the_exchange_states_is_booked_as_it_states_it(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        fine = {"LOT_SIZE": {"stepSize": "0.00000001", "minQty": "0.00000001"}}
        trial.simulator.control("settings", symbols={SYMBOL: {"filters": fine}}, fill_parts=3)
        _there_and_back(trial)
        amounts = [amount for (amount,) in trial.rows("SELECT quote_quantity FROM fills")]
        assert len(amounts) == 6
        assert all(amount == amount.quantize(Decimal("1E-8")) for amount in amounts)
