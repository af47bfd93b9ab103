//! Functions of columns, with the names that they have in SQL and PySpark.
//!
//! A parameter that is a column takes a name or an expression; a parameter that is a value takes a Rust value, which
//! becomes a literal, or an expression. Functions that are not here are called by [`call_function`], or in SQL by
//! [`expr`].
//!
//! ```
//! use firesteel::functions::*;
//!
//! let name = upper("name").alias("name");
//! let price = round(col("price") * 1.19, 2);
//! let size = when(col("qty").lt(10), "small").otherwise("large");
//! let distinct = count_distinct(["customer"]);
//! assert_eq!(distinct.name(), "count(DISTINCT customer)");
//! # let _ = (name, price, size);
//! ```

use std::sync::Arc;

use firesteel_common::Scalar;

use crate::column::{Column, IntoColumns, Node, Operand, call};

/// The column of a name, perhaps with the alias of its frame: `a`, `t.a`. Backquotes protect dots.
pub fn col(name: &str) -> Column {
    Column::from(name)
}

/// A literal: of a Rust value, or a [`Scalar`] for types that Rust has not.
pub fn lit(value: impl Into<Scalar>) -> Column {
    value.into().into_operand()
}

/// An expression, or an item of a select list, in SQL: `a + 1`, `sum(a) AS total`.
pub fn expr(sql: &str) -> Column {
    Column(Node::Text(Arc::from(sql)))
}

/// `CASE WHEN condition THEN value`; go on with [`Column::when`] and [`Column::otherwise`].
pub fn when(condition: Column, value: impl Operand) -> Column {
    Column(Node::Case { branches: vec![(condition.0, value.into_operand().0)], otherwise: None })
}

/// A call of any function, built in or registered, by its name.
pub fn call_function(name: &str, args: impl IntoColumns) -> Column {
    call(&name.to_lowercase(), args.into_columns())
}

/// The number of different values; of different combinations, if there are several columns.
pub fn count_distinct(columns: impl IntoColumns) -> Column {
    distinct("count", columns)
}

/// The sum of the different values.
pub fn sum_distinct(column: impl Into<Column>) -> Column {
    distinct("sum", column.into())
}

fn distinct(name: &str, columns: impl IntoColumns) -> Column {
    let args = columns.into_columns().into_iter().map(|c| c.0).collect();
    Column(Node::Call { name: Arc::from(name), args, distinct: true })
}

/// The values with a separator between them; NULLs are skipped.
pub fn concat_ws(separator: impl Operand, columns: impl IntoColumns) -> Column {
    call("concat_ws", std::iter::once(separator.into_operand()).chain(columns.into_columns()).collect())
}

/// The column in ascending order, NULLs first.
pub fn asc(column: impl Into<Column>) -> Column {
    column.into().asc()
}

/// The column in descending order, NULLs last.
pub fn desc(column: impl Into<Column>) -> Column {
    column.into().desc()
}

/// A parameter of a function, as a column.
macro_rules! parameter {
    (column $value:ident) => {
        $value.into()
    };
    (value $value:ident) => {
        $value.into_operand()
    };
}

macro_rules! parameter_type {
    (column) => { impl Into<Column> };
    (value) => { impl Operand };
}

macro_rules! functions {
    () => {};
    ($(#[$doc:meta])* $name:ident(..) => $sql:literal; $($rest:tt)*) => {
        $(#[$doc])*
        pub fn $name(columns: impl IntoColumns) -> Column {
            call($sql, columns.into_columns())
        }
        functions! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ident),*) => $sql:literal; $($rest:tt)*) => {
        $(#[$doc])*
        pub fn $name($($arg: parameter_type!($kind)),*) -> Column {
            call($sql, vec![$(parameter!($kind $arg)),*])
        }
        functions! { $($rest)* }
    };
}

// Mathematics.
functions! {
    /// The absolute value.
    abs(c: column) => "abs";
    /// The square root.
    sqrt(c: column) => "sqrt";
    /// The cube root.
    cbrt(c: column) => "cbrt";
    /// e to the power of the value.
    exp(c: column) => "exp";
    /// The natural logarithm.
    ln(c: column) => "ln";
    /// The logarithm to base 10.
    log10(c: column) => "log10";
    /// The logarithm to base 2.
    log2(c: column) => "log2";
    /// The sine.
    sin(c: column) => "sin";
    /// The cosine.
    cos(c: column) => "cos";
    /// The tangent.
    tan(c: column) => "tan";
    /// The inverse sine.
    asin(c: column) => "asin";
    /// The inverse cosine.
    acos(c: column) => "acos";
    /// The inverse tangent.
    atan(c: column) => "atan";
    /// Radians as degrees.
    degrees(c: column) => "degrees";
    /// Degrees as radians.
    radians(c: column) => "radians";
    /// -1, 0 or 1, as DOUBLE.
    signum(c: column) => "signum";
    /// The least integer that is not smaller.
    ceil(c: column) => "ceil";
    /// The greatest integer that is not greater.
    floor(c: column) => "floor";
    /// The nearest integer, as DOUBLE.
    rint(c: column) => "rint";
    /// Whether it is NaN.
    isnan(c: column) => "isnan";
    /// The bits of an integer, as text.
    bin(c: column) => "bin";
    /// The value in hexadecimal digits.
    hex(c: column) => "hex";
    /// The bytes of hexadecimal digits.
    unhex(c: column) => "unhex";
    /// The factorial of 0 to 20.
    factorial(c: column) => "factorial";
    /// The number of bits that are set.
    bit_count(c: column) => "bit_count";
    /// Rounded half up to `scale` digits after the point.
    round(c: column, scale: value) => "round";
    /// Rounded half to even to `scale` digits after the point.
    bround(c: column, scale: value) => "bround";
    /// `base` to the power of `exponent`.
    pow(base: column, exponent: value) => "pow";
    /// The positive remainder.
    pmod(dividend: column, divisor: value) => "pmod";
    /// The angle of the point (x, y).
    atan2(y: column, x: column) => "atan2";
    /// The length of the hypotenuse.
    hypot(a: column, b: column) => "hypot";
    /// Random numbers from 0 up to 1.
    rand() => "rand";
    /// The number π.
    pi() => "pi";
    /// `a + b`, NULL on overflow.
    try_add(a: column, b: value) => "try_add";
    /// `a - b`, NULL on overflow.
    try_subtract(a: column, b: value) => "try_subtract";
    /// `a * b`, NULL on overflow.
    try_multiply(a: column, b: value) => "try_multiply";
    /// `a / b`, NULL where `b` is 0.
    try_divide(a: column, b: value) => "try_divide";
}

// Strings and bytes.
functions! {
    /// In upper case.
    upper(c: column) => "upper";
    /// In lower case.
    lower(c: column) => "lower";
    /// Each word with a capital.
    initcap(c: column) => "initcap";
    /// Without spaces at both ends.
    trim(c: column) => "trim";
    /// Without spaces at the start.
    ltrim(c: column) => "ltrim";
    /// Without spaces at the end.
    rtrim(c: column) => "rtrim";
    /// The number of characters.
    length(c: column) => "length";
    /// The number of characters.
    char_length(c: column) => "char_length";
    /// The number of bytes.
    octet_length(c: column) => "octet_length";
    /// The characters from the last to the first.
    reverse(c: column) => "reverse";
    /// The code of the first character.
    ascii(c: column) => "ascii";
    /// The character of a code.
    chr(c: column) => "chr";
    /// Bytes in base 64.
    base64(c: column) => "base64";
    /// The bytes of text in base 64.
    unbase64(c: column) => "unbase64";
    /// The Soundex code.
    soundex(c: column) => "soundex";
    /// The CRC-32 of bytes.
    crc32(c: column) => "crc32";
    /// `length` characters from position `start`, counted from 1.
    substring(c: column, start: value, length: value) => "substring";
    /// The first `n` characters.
    left(c: column, n: value) => "left";
    /// The last `n` characters.
    right(c: column, n: value) => "right";
    /// Filled or cut at the start to `length` characters.
    lpad(c: column, length: value, pad: value) => "lpad";
    /// Filled or cut at the end to `length` characters.
    rpad(c: column, length: value, pad: value) => "rpad";
    /// `n` times.
    repeat(c: column, n: value) => "repeat";
    /// The position of `part`, from 1; 0 if it is not there.
    instr(c: column, part: value) => "instr";
    /// The position of `part`, from 1; 0 if it is not there.
    locate(part: value, c: column) => "locate";
    /// With `search` replaced by `by`.
    replace(c: column, search: value, by: value) => "replace";
    /// With each character of `from` replaced by that of `to`.
    translate(c: column, from: value, to: value) => "translate";
    /// The `n`-th part between delimiters.
    split_part(c: column, delimiter: value, n: value) => "split_part";
    /// What is before the `n`-th delimiter.
    substring_index(c: column, delimiter: value, n: value) => "substring_index";
    /// The edit distance.
    levenshtein(a: column, b: column) => "levenshtein";
    /// The group of the first match of a regular expression.
    regexp_extract(c: column, pattern: value, group: value) => "regexp_extract";
    /// With all matches of a regular expression replaced.
    regexp_replace(c: column, pattern: value, by: value) => "regexp_replace";
    /// Whether a regular expression matches.
    regexp_like(c: column, pattern: value) => "regexp_like";
    /// Whether it starts with `prefix`.
    startswith(c: column, prefix: value) => "startswith";
    /// Whether it ends with `suffix`.
    endswith(c: column, suffix: value) => "endswith";
    /// Whether it contains `part`.
    contains(c: column, part: value) => "contains";
    /// With separators of thousands and `digits` digits after the point.
    format_number(c: column, digits: value) => "format_number";
    /// With the characters from `start` on overwritten.
    overlay(c: column, by: value, start: value) => "overlay";
}

// Dates and times.
functions! {
    /// The year.
    year(c: column) => "year";
    /// The quarter, 1 to 4.
    quarter(c: column) => "quarter";
    /// The month, 1 to 12.
    month(c: column) => "month";
    /// The day of the month.
    day(c: column) => "day";
    /// The day of the month.
    dayofmonth(c: column) => "dayofmonth";
    /// The day of the week, 1 is Sunday.
    dayofweek(c: column) => "dayofweek";
    /// The day of the year.
    dayofyear(c: column) => "dayofyear";
    /// The ISO week.
    weekofyear(c: column) => "weekofyear";
    /// The day of the week, 0 is Monday.
    weekday(c: column) => "weekday";
    /// The hour.
    hour(c: column) => "hour";
    /// The minute.
    minute(c: column) => "minute";
    /// The second.
    second(c: column) => "second";
    /// The last day of the month.
    last_day(c: column) => "last_day";
    /// A DATE of text or a timestamp.
    to_date(c: column) => "to_date";
    /// A TIMESTAMP of text or a date.
    to_timestamp(c: column) => "to_timestamp";
    /// Seconds since 1970.
    unix_timestamp(c: column) => "unix_timestamp";
    /// Text of seconds since 1970.
    from_unixtime(c: column) => "from_unixtime";
    /// A TIMESTAMP of seconds since 1970.
    timestamp_seconds(c: column) => "timestamp_seconds";
    /// Some days later.
    date_add(c: column, days: value) => "date_add";
    /// Some days earlier.
    date_sub(c: column, days: value) => "date_sub";
    /// Days from `start` to `end`.
    datediff(end: column, start: column) => "datediff";
    /// Some months later.
    add_months(c: column, months: value) => "add_months";
    /// Months from `start` to `end`.
    months_between(end: column, start: column) => "months_between";
    /// The start of the unit, such as `month`, as a TIMESTAMP.
    date_trunc(unit: value, c: column) => "date_trunc";
    /// The start of the unit, such as `month`, as a DATE.
    trunc(c: column, unit: value) => "trunc";
    /// Text by a pattern, such as `yyyy-MM-dd`.
    date_format(c: column, pattern: value) => "date_format";
    /// The next day of that name.
    next_day(c: column, weekday: value) => "next_day";
    /// The DATE of a year, a month and a day.
    make_date(year: column, month: column, day: column) => "make_date";
    /// The date when the query started.
    current_date() => "current_date";
    /// The time when the query started.
    current_timestamp() => "current_timestamp";
}

// NULLs and values of any type.
functions! {
    /// Whether it is NULL.
    isnull(c: column) => "isnull";
    /// Whether it is not NULL.
    isnotnull(c: column) => "isnotnull";
    /// `other` where it is NULL.
    ifnull(c: column, other: value) => "ifnull";
    /// `other` where it is NULL.
    nvl(c: column, other: value) => "nvl";
    /// `value` where it is not NULL, else `other`.
    nvl2(c: column, value: value, other: value) => "nvl2";
    /// NULL where it equals `other`.
    nullif(c: column, other: value) => "nullif";
    /// `other` where it is NaN.
    nanvl(c: column, other: value) => "nanvl";
    /// The name of the type.
    typeof_(c: column) => "typeof";
    /// The first value that is not NULL.
    coalesce(..) => "coalesce";
    /// The greatest value; NULLs are skipped.
    greatest(..) => "greatest";
    /// The least value; NULLs are skipped.
    least(..) => "least";
    /// The values, one after the other.
    concat(..) => "concat";
    /// Spark's Murmur 3 hash.
    hash(..) => "hash";
    /// The 64-bit xxHash.
    xxhash64(..) => "xxhash64";
}

// Aggregates.
functions! {
    /// The sum.
    sum(c: column) => "sum";
    /// The average.
    avg(c: column) => "avg";
    /// The average.
    mean(c: column) => "mean";
    /// The least value.
    min(c: column) => "min";
    /// The greatest value.
    max(c: column) => "max";
    /// The number of values that are not NULL; of rows for `"*"`.
    count(c: column) => "count";
    /// The first value.
    first(c: column) => "first";
    /// The last value.
    last(c: column) => "last";
    /// Some value.
    any_value(c: column) => "any_value";
    /// The standard deviation of the sample.
    stddev(c: column) => "stddev";
    /// The standard deviation of the sample.
    stddev_samp(c: column) => "stddev_samp";
    /// The standard deviation of the population.
    stddev_pop(c: column) => "stddev_pop";
    /// The variance of the sample.
    variance(c: column) => "variance";
    /// The variance of the sample.
    var_samp(c: column) => "var_samp";
    /// The variance of the population.
    var_pop(c: column) => "var_pop";
    /// The skewness.
    skewness(c: column) => "skewness";
    /// The kurtosis.
    kurtosis(c: column) => "kurtosis";
    /// The median.
    median(c: column) => "median";
    /// About how many different values there are.
    approx_count_distinct(c: column) => "approx_count_distinct";
    /// Whether all are true.
    bool_and(c: column) => "bool_and";
    /// Whether one is true.
    bool_or(c: column) => "bool_or";
    /// The number of rows for which it is true.
    count_if(c: column) => "count_if";
    /// The sum, NULL on overflow.
    try_sum(c: column) => "try_sum";
    /// The average, NULL on overflow.
    try_avg(c: column) => "try_avg";
    /// The correlation.
    corr(a: column, b: column) => "corr";
    /// The covariance of the population.
    covar_pop(a: column, b: column) => "covar_pop";
    /// The covariance of the sample.
    covar_samp(a: column, b: column) => "covar_samp";
    /// The value where `order` is greatest.
    max_by(c: column, order: column) => "max_by";
    /// The value where `order` is least.
    min_by(c: column, order: column) => "min_by";
    /// The exact percentile.
    percentile(c: column, fraction: value) => "percentile";
    /// About the percentile.
    percentile_approx(c: column, fraction: value) => "percentile_approx";
}

// Window functions, which need [`Column::over`].
functions! {
    /// The number of the row in its window, from 1.
    row_number() => "row_number";
    /// The rank, with gaps after peers.
    rank() => "rank";
    /// The rank, without gaps.
    dense_rank() => "dense_rank";
    /// The rank from 0 to 1.
    percent_rank() => "percent_rank";
    /// The share of rows up to this one and its peers.
    cume_dist() => "cume_dist";
    /// The number of the row's bucket among `n`.
    ntile(n: value) => "ntile";
    /// The value of the `n`-th row of the frame.
    nth_value(c: column, n: value) => "nth_value";
    /// The value of the first row of the frame.
    first_value(c: column) => "first_value";
    /// The value of the last row of the frame.
    last_value(c: column) => "last_value";
    /// The value `offset` rows before.
    lag(c: column, offset: value) => "lag";
    /// The value `offset` rows after.
    lead(c: column, offset: value) => "lead";
}
