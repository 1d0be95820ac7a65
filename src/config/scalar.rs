//! What all textual values have in common: one fallible constructor, used by serde and by the
//! structure check alike, and a JSON Schema.

use std::fmt;

/// A value written as one YAML scalar.
pub trait Scalar: Sized {
    /// The `format` of its JSON Schema, by which the structure check finds the constructor.
    const FORMAT: &'static str;

    /// Whether it may be written as a string; otherwise it is a number, or true or false.
    const MAY_BE_STRING: bool = true;

    /// The one constructor.
    ///
    /// # Errors
    /// What is wrong with the text and what to write instead, in words.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that gives this value again, with [`HIDDEN`] for a secret.
    fn written(&self) -> String
    where
        Self: fmt::Display,
    {
        self.to_string()
    }
}

/// What stands for a secret where a configuration is shown.
pub const HIDDEN: &str = "HIDDEN";

/// Implements serde and `JsonSchema` for a [`Scalar`] that has `Display`. `or integer` and `or boolean` are for
/// those that YAML may have resolved to another type than a string.
macro_rules! scalar {
    ($name:ident, $schema:tt) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::config::scalar::write(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = $crate::config::scalar::text(deserializer)?;
                <Self as $crate::config::scalar::Scalar>::parse(&text)
                    .map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = schemars::json_schema!($schema);
                schema.insert(
                    "format".into(),
                    <Self as $crate::config::scalar::Scalar>::FORMAT.into(),
                );
                schema
            }
        }
    };
}
pub(super) use scalar;

/// Writes a scalar such that its schema takes it.
pub(super) fn write<T: Scalar + fmt::Display, S: serde::Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = value.written();
    if T::MAY_BE_STRING {
        return serializer.serialize_str(&text);
    }
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(flag), _) => serializer.serialize_bool(flag),
        (_, Ok(number)) => serializer.serialize_i64(number),
        _ => serializer.serialize_str(&text),
    }
}

/// A scalar as text, whatever type YAML resolved it to.
pub(super) fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;

    impl serde::de::Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string, a number, or true or false")
        }

        fn visit_bool<E>(self, value: bool) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_i64<E>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_u64<E>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_f64<E>(self, value: f64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_str<E>(self, value: &str) -> Result<String, E> {
            Ok(value.to_owned())
        }
    }

    deserializer.deserialize_any(Text)
}
