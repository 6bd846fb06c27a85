//! What a venue's numbers mean: symbols for their ids, decimal text for ticks, lots and units.
//!
//! Invariants: text is converted exactly or refused with the name of the field and the rule it broke;
//! every place that shows a price, a quantity or an amount shows it as decimal text.

use crate::decimal::{Decimal, DecimalError, format, parse, parse_steps};
use crate::event::Event;
use crate::genesis::{Asset, GenesisItem, Instrument};
use crate::journal::dump::event_json;
use crate::types::{Amount, AssetId, InstrumentId, Price, Quantity};
use serde_json::{Map, Value};

/// Symbols that an error lists, at most.
const LISTED_MAX: usize = 10;

/// The assets and instruments of a venue.
#[derive(Debug, Default)]
pub(super) struct Venue {
    pub(super) assets: Vec<Asset>,
    pub(super) instruments: Vec<Instrument>,
}

impl Venue {
    /// Takes an item of genesis.
    pub(super) fn define(&mut self, item: GenesisItem) {
        match item {
            GenesisItem::Asset(asset) => self.assets.push(asset),
            GenesisItem::Instrument(instrument) => self.instruments.push(instrument),
            GenesisItem::Settings(_) | GenesisItem::Account(_) | GenesisItem::Key(_) => {}
        }
    }

    /// The instrument with this symbol.
    pub(super) fn instrument(&self, symbol: &str) -> Result<&Instrument, String> {
        self.instruments.iter().find(|instrument| instrument.symbol == symbol).ok_or_else(|| {
            let known = self.instruments.iter().map(|instrument| instrument.symbol.as_str());
            format!("symbol {symbol}: no such instrument; there is {}", listed(known))
        })
    }

    /// The asset with this symbol.
    pub(super) fn asset(&self, symbol: &str) -> Result<&Asset, String> {
        self.assets.iter().find(|asset| asset.symbol == symbol).ok_or_else(|| {
            let known = self.assets.iter().map(|asset| asset.symbol.as_str());
            format!("asset {symbol}: no such asset; there is {}", listed(known))
        })
    }

    /// The instrument with this number.
    pub(super) fn instrument_of(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get((id.0 as usize).checked_sub(1)?)
    }

    /// The asset with this number.
    pub(super) fn asset_of(&self, id: AssetId) -> Option<&Asset> {
        self.assets.get((id.0 as usize).checked_sub(1)?)
    }

    /// An event with names and decimal text; `instrument` is that of the command it came from.
    pub(super) fn event(
        &self,
        event: &Event,
        instrument: Option<&Instrument>,
    ) -> Map<String, Value> {
        let Value::Object(mut map) = event_json(event) else {
            unreachable!("an event is an object");
        };
        self.name(&mut map, instrument);
        map
    }

    /// Puts names and decimal text into a decoded command or event, in place of numbers and steps.
    /// `instrument` is that of an event which does not name its own; where there is none, counts of
    /// lots other than 0 keep their number and say so in their name.
    pub(super) fn name(&self, map: &mut Map<String, Value>, instrument: Option<&Instrument>) {
        let id = |name: &str| map.get(name)?.as_u64().and_then(|id| u32::try_from(id).ok());
        let own = id("instrument").and_then(|id| self.instrument_of(InstrumentId(id)));
        let asset = id("asset").and_then(|id| self.asset_of(AssetId(id)));
        // Number 0 says that there is none.
        let instrument = own.or(instrument.filter(|_| id("instrument") != Some(0)));
        let quote = instrument.and_then(|found| self.asset_of(found.quote));
        let named = std::mem::take(map).into_iter().map(|(name, value)| {
            let steps = value.as_str().and_then(|text| text.parse::<i64>().ok());
            match (name.as_str(), steps, instrument, asset) {
                ("instrument", _, Some(instrument), _) => {
                    ("symbol".to_owned(), Value::from(instrument.symbol.as_str()))
                }
                ("asset", _, _, Some(asset)) => (name, Value::from(asset.symbol.as_str())),
                ("price" | "stop_price", Some(ticks), Some(instrument), _) => {
                    (name, price(instrument, Price(ticks)).into())
                }
                (
                    "quantity" | "display_quantity" | "min_quantity" | "filled" | "leaves"
                    | "maker_leaves",
                    Some(lots),
                    found,
                    _,
                ) => match found {
                    Some(instrument) => (name, quantity(instrument, Quantity(lots)).into()),
                    None if lots == 0 => (name, "0".into()),
                    None => (format!("{name}_lots"), lots.into()),
                },
                ("budget", Some(units), ..) => match quote {
                    Some(asset) => (name, amount(asset, Amount(units)).into()),
                    None => (name, value),
                },
                ("amount" | "available" | "frozen", Some(units), _, Some(asset)) => {
                    (name, amount(asset, Amount(units)).into())
                }
                _ => (name, value),
            }
        });
        *map = named.collect();
    }
}

fn listed<'a>(mut known: impl Iterator<Item = &'a str>) -> String {
    let shown: Vec<&str> = known.by_ref().take(LISTED_MAX).collect();
    let more = known.count();
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Reads a price as whole ticks.
pub(super) fn parse_price(instrument: &Instrument, text: &str) -> Result<Price, String> {
    parse_ticks("price", instrument, text)
}

/// Reads a price that errors call `name` as whole ticks.
pub(super) fn parse_ticks(
    name: &str,
    instrument: &Instrument,
    text: &str,
) -> Result<Price, String> {
    parse_steps(text, instrument.price_scale, instrument.tick_units).map(Price).map_err(|error| {
        let symbol = &instrument.symbol;
        match error {
            DecimalError::NotAMultiple { .. } => {
                format!("{name} {text} {error}, the tick of {symbol}")
            }
            _ => format!("{name} {text} {error}"),
        }
    })
}

/// Reads a quantity as whole lots.
pub(super) fn parse_quantity(instrument: &Instrument, text: &str) -> Result<Quantity, String> {
    parse_lots("quantity", instrument, text)
}

/// Reads a quantity that errors call `name` as whole lots.
pub(super) fn parse_lots(
    name: &str,
    instrument: &Instrument,
    text: &str,
) -> Result<Quantity, String> {
    let lots = parse_steps(text, instrument.quantity_scale, instrument.lot_units);
    lots.map(Quantity).map_err(|error| {
        let symbol = &instrument.symbol;
        match error {
            DecimalError::NotAMultiple { .. } => {
                format!("{name} {text} {error}, the lot of {symbol}")
            }
            _ => format!("{name} {text} {error}"),
        }
    })
}

/// Reads an amount as whole units of the asset.
pub(super) fn parse_amount(asset: &Asset, text: &str) -> Result<Amount, String> {
    parse_units("amount", asset, text)
}

/// Reads an amount that errors call `name` as whole units of the asset.
pub(super) fn parse_units(name: &str, asset: &Asset, text: &str) -> Result<Amount, String> {
    parse(text, asset.scale)
        .map(Amount)
        .map_err(|error| format!("{name} {text} {error} ({})", asset.symbol))
}

/// A price as decimal text.
pub(super) fn price(instrument: &Instrument, price: Price) -> String {
    Decimal::of_steps(price.0, instrument.tick_units, instrument.price_scale).to_string()
}

/// A quantity as decimal text.
pub(super) fn quantity(instrument: &Instrument, quantity: Quantity) -> String {
    Decimal::of_steps(quantity.0, instrument.lot_units, instrument.quantity_scale).to_string()
}

/// An amount as decimal text.
pub(super) fn amount(asset: &Asset, amount: Amount) -> String {
    format(amount.0, asset.scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn venue() -> Venue {
        let asset =
            |id, symbol: &str, scale| Asset { id: AssetId(id), symbol: symbol.into(), scale };
        let instrument = Instrument {
            id: InstrumentId(1),
            symbol: "BTC-USDT".into(),
            base: AssetId(1),
            quote: AssetId(2),
            price_scale: 2,
            tick_units: 5,
            quantity_scale: 3,
            lot_units: 1,
            base_per_lot: 1,
            quote_per_tick_lot: 1,
            quantity_min: 1,
            quantity_max: i64::MAX,
            price_max: i64::MAX,
            market_band_bps: Instrument::MARKET_BAND_BPS,
            collar_bps: 0,
        };
        Venue {
            assets: vec![asset(1, "BTC", 8), asset(2, "USDT", 2)],
            instruments: vec![instrument],
        }
    }

    #[test]
    fn an_error_names_the_field_and_the_rule() {
        let venue = venue();
        let instrument = venue.instrument("BTC-USDT").expect("it is there");
        assert_eq!(parse_price(instrument, "100.05"), Ok(Price(2001)));
        for (found, expected) in [
            (
                parse_price(instrument, "100.03").map(|_| ()),
                "price 100.03 is not a multiple of 0.05, the tick of BTC-USDT",
            ),
            (
                parse_price(instrument, "1e3").map(|_| ()),
                "price 1e3 is not a decimal number such as 12.5",
            ),
            (
                parse_quantity(instrument, "0.0001").map(|_| ()),
                "quantity 0.0001 is not a multiple of 0.001, the lot of BTC-USDT",
            ),
            (
                parse_amount(&venue.assets[1], "0.001").map(|_| ()),
                "amount 0.001 has more than 2 decimal places (USDT)",
            ),
            (
                venue.instrument("ETH-USDT").map(|_| ()),
                "symbol ETH-USDT: no such instrument; there is BTC-USDT",
            ),
            (venue.asset("ETH").map(|_| ()), "asset ETH: no such asset; there is BTC, USDT"),
        ] {
            assert_eq!(found, Err(expected.to_owned()));
        }
    }

    #[test]
    fn decoded_records_get_names_and_decimal_text() {
        let venue = venue();
        let named = |value: Value, instrument: Option<&Instrument>| {
            let Value::Object(mut map) = value else { panic!("an object") };
            venue.name(&mut map, instrument);
            Value::Object(map)
        };
        assert_eq!(
            named(
                json!({"account": 2, "instrument": 1, "price": "2001", "quantity": "1500"}),
                None
            ),
            json!({"account": 2, "symbol": "BTC-USDT", "price": "100.05", "quantity": "1.5"})
        );
        assert_eq!(
            named(json!({"asset": 2, "available": "-150", "frozen": "0"}), None),
            json!({"asset": "USDT", "available": "-1.5", "frozen": "0"})
        );
        let result = json!({"filled": "10", "leaves": "0"});
        assert_eq!(named(result.clone(), None), json!({"filled_lots": 10, "leaves": "0"}));
        let instrument = venue.instruments.first();
        assert_eq!(named(result, instrument), json!({"filled": "0.01", "leaves": "0"}));
    }
}
