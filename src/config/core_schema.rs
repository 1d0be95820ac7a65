//! What a plain YAML scalar means.

use super::tree::Value;

/// A plain scalar by the YAML 1.2 core schema: `yes`, `on` and `off` are strings there.
pub fn resolve(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if let Some(integer) = integer(&text) {
        return Value::Integer(integer);
    }
    if looks_like_float(&text)
        && let Ok(float) = text.parse::<f64>()
    {
        return Value::Float(float);
    }
    Value::String(text)
}

fn integer(text: &str) -> Option<i128> {
    let all = |digits: &str, radix: u32| {
        !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
    };
    if let Some(digits) = text.strip_prefix("0o").filter(|digits| all(digits, 8)) {
        return i128::from_str_radix(digits, 8).ok();
    }
    if let Some(digits) = text.strip_prefix("0x").filter(|digits| all(digits, 16)) {
        return i128::from_str_radix(digits, 16).ok();
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if all(digits, 10) {
        return text.parse().ok();
    }
    None
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn looks_like_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => {
            digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_fits && mantissa_fits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_core_schema() {
        for (text, wanted) in [
            ("0", Value::Integer(0)),
            ("+7", Value::Integer(7)),
            ("-12", Value::Integer(-12)),
            ("0x1F", Value::Integer(31)),
            ("0o17", Value::Integer(15)),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Float(1000.0)),
        ] {
            assert_eq!(resolve(text.into()), wanted, "{text}");
        }
        for text in [
            "0b1", "1_000", "1:30", ".", "e3", "1e", "0x", "--1", "yes", "NO", "tRue", "nan",
        ] {
            assert_eq!(resolve(text.into()), Value::String(text.into()));
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*|[-+.0-9eExXo]{0,60}") {
            let _ = resolve(text);
        }
    }
}
