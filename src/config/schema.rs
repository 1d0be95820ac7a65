//! The JSON Schema of the configuration (draft 2020-12), made from the raw structs.
//!
//! Editors complete and validate with it, and [`super::structure`] checks every file against the
//! same schema, so the two can't come apart.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw;

/// The schema, made once.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        SchemaSettings::draft2020_12()
            .into_generator()
            .into_root_schema_for::<raw::Config>()
            .to_value()
    });
    &SCHEMA
}

/// The schema as indented JSON with a final newline.
pub fn text() -> String {
    format!("{:#}\n", schema())
}
