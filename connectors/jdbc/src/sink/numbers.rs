//! Numbers and booleans as what a column takes: a number that is not the same there is refused.

use connect_core::data::Decimal;

use super::{
    cell::{Cells, Fit, Format, bits, form, misfit},
    json::number_text,
    table::Kind,
    times::{date, millis, of_day, time},
};

/// Scale of the numbers of a column without one, as the JVM's source and ours write them: the zeros are not the number's.
const UNCONSTRAINED_SCALE: i32 = 127;
/// Digits that a number may have, and zeros: those of a `Decimal` with a scale of billions would fill the memory.
pub(super) const MAX_SCALE: u32 = 20_000;

pub(super) fn boolean(b: bool, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let text = if b { "true" } else { "false" };
    match kind {
        Kind::Boolean => out.boolean(b),
        Kind::Json => out.text(text),
        Kind::Bit(length) => bits(u64::from(b), *length, format, out)?,
        Kind::Integer(..) | Kind::Float { .. } => out.number(if b { "1" } else { "0" }),
        Kind::Decimal(..) => exact(&Decimal::new(i64::from(b), 0), kind, out)?,
        _ => return form(text, kind, format, out, "a boolean"),
    }
    Ok(())
}

pub(super) fn integer(n: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let mut number = itoa::Buffer::new();
    let digits = number.format(n);
    match kind {
        Kind::Integer(min, max) if (*min..=*max).contains(&i128::from(n)) => out.number(digits),
        Kind::Integer(min, max) => return Err(format!("out of the range {min} to {max}").into()),
        Kind::Float { single } => {
            let back = if *single { (n as f32) as i128 } else { (n as f64) as i128 };
            if back != i128::from(n) {
                return misfit("a floating point number cannot hold it exactly");
            }
            out.number(digits);
        }
        Kind::Decimal(..) => exact(&Decimal::new(n, 0), kind, out)?,
        Kind::Bit(length) => match u64::try_from(n) {
            Ok(n) => bits(n, *length, format, out)?,
            Err(_) => return misfit("a negative number"),
        },
        Kind::Year if n == 0 || (1901..=2155).contains(&n) => out.number(digits),
        Kind::Year => return misfit("no year from 1901 to 2155"),
        Kind::Boolean if matches!(n, 0 | 1) => out.boolean(n == 1),
        Kind::Boolean => return misfit("neither 0 nor 1"),
        Kind::Json => out.text(digits),
        // Schemaless records have Connect's dates and times as the numbers that they are.
        Kind::Date => match i32::try_from(n) {
            Ok(days) => date(days, kind, format, out)?,
            Err(_) => return misfit("days since 1970 expected"),
        },
        Kind::Time { .. } => time(of_day(n)?, kind, format, out)?,
        Kind::DateTime { .. } => millis(n, kind, format, out)?,
        _ => return form(digits, kind, format, out, "a number"),
    }
    Ok(())
}

pub(super) fn float(n: f64, text: &str, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    match kind {
        Kind::Json if n.is_finite() => out.text(text),
        // The database may know infinity or not: it says so.
        Kind::Float { .. } if !n.is_finite() => out.text(text),
        Kind::Float { single } => {
            if *single && (n as f32).is_infinite() {
                return misfit("out of the range of single precision");
            }
            out.number(&format!("{n:e}"));
        }
        // Numbers with a limit may be none, but not without end.
        Kind::Decimal(None, _) if !n.is_finite() && format.infinity => out.text(text),
        Kind::Decimal(..) if n.is_nan() && format.infinity => out.text(text),
        Kind::Decimal(..) | Kind::Integer(..) if !n.is_finite() => {
            return misfit("not a finite number");
        }
        Kind::Decimal(..) | Kind::Integer(..) => match text.parse::<Decimal>() {
            Ok(number) => decimal(&number, kind, format, out)?,
            Err(_) => return misfit("a number with too many digits"),
        },
        _ => return form(text, kind, format, out, "a number with a fraction"),
    }
    Ok(())
}

pub(super) fn decimal(number: &Decimal, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    if number.scale().unsigned_abs() > MAX_SCALE {
        return misfit("a number with too many digits");
    }
    match kind {
        Kind::Decimal(..) => exact(number, kind, out)?,
        Kind::Float { single: true } => match number.to_string().parse::<f32>() {
            Ok(n) if n.is_finite() => out.number(&format!("{n:e}")),
            _ => return misfit("out of the range of single precision"),
        },
        Kind::Float { single: false } => {
            let double = number.to_f64();
            let back = number_text(double).parse::<Decimal>().ok();
            if back.and_then(|back| back.rescaled_exactly(number.scale())).as_ref() != Some(number)
            {
                return misfit("a floating point number cannot hold it exactly");
            }
            out.number(&format!("{double:e}"));
        }
        Kind::Json => out.text(&number.to_string()),
        Kind::Integer(min, max) => {
            let whole = number.rescaled_exactly(0).map(|whole| whole.to_string());
            match whole.as_ref().and_then(|text| text.parse::<i128>().ok()) {
                Some(n) if (min..=max).contains(&&n) => out.number(&n.to_string()),
                _ => return Err(format!("not a whole number from {min} to {max}").into()),
            }
        }
        _ => return form(&number.to_string(), kind, format, out, "a decimal number"),
    }
    Ok(())
}

/// Digits without zeros at the end of a fraction.
fn shortest(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

/// A number whose digits all fit.
fn exact(number: &Decimal, kind: &Kind, out: &mut impl Cells) -> Fit {
    let Kind::Decimal(precision, scale) = kind else { return misfit("a decimal number") };
    if let (None, None, UNCONSTRAINED_SCALE) = (precision, scale, number.scale()) {
        out.number(shortest(&number.to_string()));
        return Ok(());
    }
    let text = match scale.filter(|scale| *scale != number.scale()) {
        None => number.to_string(),
        Some(scale) => {
            let fitted = number.rescaled_exactly(scale).ok_or_else(|| match scale {
                0.. => format!("more than {scale} digits after the point"),
                _ => format!("the last {} digits before the point are not zero", -scale),
            })?;
            fitted.to_string()
        }
    };
    if let Some(precision) = precision {
        // Zeros that the scale stands for are no digits.
        let zeros = scale.unwrap_or(0).min(0).unsigned_abs() as usize;
        let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
        if digits.count() > *precision as usize + zeros {
            return Err(format!("more than {precision} digits").into());
        }
    }
    out.number(&text);
    Ok(())
}

/// A number that was text.
pub(super) fn parsed(text: &str, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    match kind {
        Kind::Integer(min, max) => match text.parse::<i128>() {
            Ok(n) if (*min..=*max).contains(&n) => out.number(&n.to_string()),
            _ => return Err(format!("not a whole number from {min} to {max}").into()),
        },
        Kind::Year => match text.parse::<i64>() {
            Ok(n) => integer(n, kind, format, out)?,
            Err(_) => return misfit("not a year"),
        },
        _ => match (text.parse::<Decimal>(), text.parse::<f64>()) {
            (Ok(number), _) => decimal(&number, kind, format, out)?,
            // The words for infinity, and for what is no number.
            (Err(_), Ok(n)) if !n.is_finite() && !text.contains(|c: char| c.is_ascii_digit()) => {
                float(n, text, kind, format, out)?;
            }
            _ => return misfit("not a number"),
        },
    }
    Ok(())
}
