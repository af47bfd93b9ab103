//! The charsets of `encode` and `decode`.

use firesteel_common::{Error, Result};

/// A charset that Spark has.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// With a mark of the byte order before the text.
    Utf16,
    Utf16Be,
    Utf16Le,
    Utf32,
}

impl Charset {
    /// The charset of a name.
    ///
    /// Errors: `INVALID_PARAMETER_VALUE.CHARSET`.
    pub(super) fn of(function: &str, name: &str) -> Result<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" => Self::Ascii,
            "ISO-8859-1" => Self::Latin1,
            "UTF-8" | "UTF8" => Self::Utf8,
            "UTF-16" => Self::Utf16,
            "UTF-16BE" => Self::Utf16Be,
            "UTF-16LE" => Self::Utf16Le,
            "UTF-32" => Self::Utf32,
            _ => {
                return Err(Error::compute(
                    "INVALID_PARAMETER_VALUE.CHARSET",
                    "22023",
                    format!(
                        "The value of parameter(s) `charset` in `{function}` is invalid: expects one of the charsets \
                         US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE, UTF-16, UTF-32, but got {name}."
                    ),
                ));
            }
        })
    }

    /// The bytes of a text.
    ///
    /// Errors: `MALFORMED_CHARACTER_CODING` for a character that the charset lacks.
    pub(super) fn encode(self, text: &str) -> Result<Vec<u8>> {
        let narrow = |limit: u32| {
            let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) < limit);
            text.chars().map(byte).collect::<Option<Vec<u8>>>().ok_or_else(|| malformed("encode"))
        };
        let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes);
        Ok(match self {
            Self::Ascii => narrow(128)?,
            Self::Latin1 => narrow(256)?,
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16 if text.is_empty() => Vec::new(),
            Self::Utf16 => [0xFE, 0xFF].into_iter().chain(wide(u16::to_be_bytes)).collect(),
            Self::Utf16Be => wide(u16::to_be_bytes).collect(),
            Self::Utf16Le => wide(u16::to_le_bytes).collect(),
            Self::Utf32 => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        })
    }

    /// The text of bytes.
    ///
    /// Errors: `MALFORMED_CHARACTER_CODING`.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<String> {
        let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        };
        let text = match (self, bytes) {
            (Self::Ascii, _) => bytes.is_ascii().then(|| bytes.iter().map(|b| char::from(*b)).collect()),
            (Self::Latin1, _) => Some(bytes.iter().map(|b| char::from(*b)).collect()),
            (Self::Utf8, _) => String::from_utf8(bytes.to_vec()).ok(),
            (Self::Utf16, [0xFF, 0xFE, rest @ ..]) => wide(rest, u16::from_le_bytes),
            (Self::Utf16, [0xFE, 0xFF, rest @ ..]) => wide(rest, u16::from_be_bytes),
            (Self::Utf16 | Self::Utf16Be, _) => wide(bytes, u16::from_be_bytes),
            (Self::Utf16Le, _) => wide(bytes, u16::from_le_bytes),
            (Self::Utf32, _) => {
                let (words, rest) = bytes.as_chunks::<4>();
                let text = words.iter().map(|word| char::from_u32(u32::from_be_bytes(*word))).collect();
                rest.is_empty().then_some(text).flatten()
            }
        };
        text.ok_or_else(|| malformed("decode"))
    }
}

fn malformed(function: &str) -> Error {
    let message = format!("Invalid value found when performing `{function}`: it is malformed in the charset.");
    Error::compute("MALFORMED_CHARACTER_CODING", "22000", message)
}
