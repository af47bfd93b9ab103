//! Conversion of texts of CSV and JSON to the types of columns; what does not convert is NULL.

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::util::display::FormatOptions;
use std::sync::Arc;

use firesteel_common::{Error, Result, SqlType, encoding};
use firesteel_expr::EvalContext;

/// Converts texts to values of one type.
#[derive(Debug)]
pub(crate) struct TextConverter {
    ty: SqlType,
}

impl TextConverter {
    pub(crate) fn new(ty: &SqlType, cx: &EvalContext) -> Result<Self> {
        let utc = matches!(&*cx.time_zone, "UTC" | "Etc/UTC" | "Z" | "GMT" | "+00:00");
        if *ty == SqlType::Timestamp && !utc {
            return Err(Error::unsupported(format!("Timestamps in text files in the time zone {}.", cx.time_zone)));
        }
        Ok(Self { ty: ty.clone() })
    }

    /// The values of `text`.
    pub(crate) fn convert(&mut self, text: &ArrayRef) -> Result<ArrayRef> {
        let options = CastOptions { safe: true, format_options: FormatOptions::default() };
        let trimmed: StringViewArray = text.as_string_view().iter().map(|v| v.map(str::trim)).collect();
        let target = match self.ty {
            // Arrow parses decimals of 128 bits only.
            SqlType::Decimal(p, s) => arrow::datatypes::DataType::Decimal128(p, s as i8),
            ref ty => ty.arrow(),
        };
        let trimmed: ArrayRef = Arc::new(trimmed);
        encoding::canonical(&cast_with_options(&trimmed, &target, &options)?, &self.ty)
    }
}
