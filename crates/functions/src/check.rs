//! Checks of calls that all functions share, with Spark's conditions and wording.

use firesteel_common::{Error, ErrorKind, Result, SqlType};

/// Fails unless there are `min..=max` arguments.
pub(crate) fn arity(name: &str, args: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&args) {
        return Ok(());
    }
    let expected = match (min, max) {
        (a, b) if a == b => a.to_string(),
        (a, usize::MAX) => format!("> {}", a.saturating_sub(1)),
        (a, b) => {
            let all: Vec<String> = (a..=b).map(|n| n.to_string()).collect();
            format!("[{}]", all.join(", "))
        }
    };
    Err(Error::new(
        ErrorKind::Type,
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        "42605",
        format!(
            "The `{name}` requires {expected} parameters but the actual number is {args}. Please, refer to \
             'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix."
        ),
    ))
}

/// The error of an argument (counted from 0) whose type is not among `required`.
pub(crate) fn unexpected_type(name: &str, index: usize, required: &str, found: &SqlType) -> Error {
    const ORDINALS: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
    let position = ORDINALS.get(index).map_or_else(|| format!("{}th", index + 1), |word| (*word).to_owned());
    Error::new(
        ErrorKind::Type,
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        format!(
            "Cannot resolve \"{name}\" due to data type mismatch: The {position} parameter requires the \
             \"{required}\" type, however it has the type \"{found}\"."
        ),
    )
}

/// A value that a DECIMAL type cannot hold.
pub(crate) fn decimal_out_of_range(value: &str, precision: u8, scale: u8) -> Error {
    Error::compute(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        "22003",
        format!(
            "The value {value} cannot be represented as Decimal({precision}, {scale}). If necessary set \
             \"spark.sql.ansi.enabled\" to \"false\" to bypass this error, and return NULL instead."
        ),
    )
}

/// An overflow of `what`, such as `long`, that `alternative` tolerates.
pub(crate) fn overflow(what: &str, alternative: &str) -> Error {
    let hint = match alternative {
        "" => String::new(),
        function => format!(" Use '{function}' to tolerate overflow and return NULL instead."),
    };
    Error::overflow(format!(
        "{what} overflow.{hint} If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."
    ))
}

/// 10^n for n of 0 to 38.
pub(crate) fn pow10(n: u8) -> i128 {
    10i128.pow(u32::from(n.min(38)))
}

/// Whether an unscaled value has at most `precision` digits.
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < pow10(precision).unsigned_abs()
}

/// `a / b` rounded half up (away from zero); `b` is not 0.
pub(crate) fn div_half_up(a: i128, b: i128) -> i128 {
    let (quotient, rest) = (a / b, a % b);
    let twice = rest.unsigned_abs().saturating_mul(2);
    if twice >= b.unsigned_abs() { quotient + if (a < 0) == (b < 0) { 1 } else { -1 } } else { quotient }
}
