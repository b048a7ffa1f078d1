//! Widening columns that are too narrow for the values that come (`auto.evolve`): a number that has grown, or got a
//! fraction; a text that has grown. Nothing else: a column of numbers does not become text.

use connect_core::data::Value;

use super::{
    database::{Inferred, SinkDatabase},
    ddl::Definition,
    plan::Mapped,
    table::{Column, Kind, Table},
};

/// `ALTER TABLE` for the columns that are too narrow; none if widening would not help.
pub(super) fn widen<D: SinkDatabase>(definition: &Definition<'_>, table: &Table) -> Option<String> {
    let quoting = definition.config.quoting(D::QUOTE);
    let columns = table.columns_for(definition.plan.mapped.iter().map(|mapped| &*mapped.name));
    let wider = definition.plan.mapped.iter().zip(columns).filter_map(|(mapped, column)| {
        let column = column?;
        let ty = D::inferred(wider(definition, mapped, column)?);
        Some(D::widened(&quoting.identifier(&column.name), ty, column))
    });
    let wider: Vec<String> = wider.collect();
    let name = definition.name.quoted(quoting);
    (!wider.is_empty()).then(|| format!("ALTER TABLE {name} {}", wider.join(", ")))
}

/// The type that a column needs; none if it has it.
fn wider(definition: &Definition<'_>, mapped: &Mapped, column: &Column) -> Option<Inferred> {
    let needs = definition.records.iter().filter_map(|record| {
        let value = definition.values.of(record, mapped);
        match (&column.kind, &*value) {
            (Kind::Integer(min, max), value) => {
                let whole = whole(value)?;
                match whole {
                    Some(n) if (min..=max).contains(&&n) => None,
                    Some(n) if i64::try_from(n).is_ok() => Some(Inferred::Integer),
                    // A column of at most 32 bits keeps its values as doubles.
                    None if *max <= i128::from(u32::MAX) && !matches!(value, Value::Decimal(_)) => {
                        Some(Inferred::Double)
                    }
                    _ => Some(Inferred::Decimal),
                }
            }
            (
                Kind::Decimal(Some(_), _) | Kind::Decimal(_, Some(_)),
                Value::Float32(_) | Value::Float64(_),
            ) => Some(Inferred::Decimal),
            (Kind::Decimal(Some(_), _) | Kind::Decimal(_, Some(_)), value) => {
                whole(value).map(|_| Inferred::Decimal)
            }
            // A key of text has a length, and needs it.
            (Kind::Text(Some(limit)), Value::String(text)) if !mapped.key => {
                (!limit.takes(text)).then_some(Inferred::LongText)
            }
            (Kind::Binary(Some(limit)), Value::Bytes(bytes)) if !mapped.key => {
                (bytes.len() > *limit as usize).then_some(Inferred::Bytes)
            }
            _ => None,
        }
    });
    needs.fold(None, |a, b| super::ddl::widened(a, Some(b)))
}

/// The whole number that a number is, if it is one; none for what is no number.
fn whole(value: &Value) -> Option<Option<i128>> {
    let double = |n: f64| (n.fract() == 0.0 && n.abs() < 1e38).then_some(n as i128);
    Some(match value {
        Value::Int8(n) => Some(i128::from(*n)),
        Value::Int16(n) => Some(i128::from(*n)),
        Value::Int32(n) => Some(i128::from(*n)),
        Value::Int64(n) => Some(i128::from(*n)),
        Value::Float32(n) => double(f64::from(*n)),
        Value::Float64(n) => double(*n),
        Value::Decimal(number) => {
            number.rescaled_exactly(0).and_then(|whole| whole.to_string().parse().ok())
        }
        _ => return None,
    })
}
