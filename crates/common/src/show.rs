//! Quantities as people read them: one spelling for messages, plans and progress.

use std::time::Duration;

/// Bytes in the greatest unit that leaves a whole number, with one decimal unless there is nothing behind it:
/// `512 B`, `1.5 KiB`, `16 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (1..UNITS.len()).rev().find(|unit| bytes >> (10 * unit) > 0).unwrap_or(0);
    let size = 1u64 << (10 * unit);
    if bytes.is_multiple_of(size) {
        format!("{} {}", bytes / size, UNITS[unit])
    } else {
        format!("{:.1} {}", bytes as f64 / size as f64, UNITS[unit])
    }
}

/// A time with three digits or so: `85 us`, `12.3 ms`, `1.24 s`.
pub fn duration(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// A count with separators: `1,234,567`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_greatest_unit() {
        let shown = [0, 1023, 1024, 1536, 10 << 20, (1 << 30) - 1, 16 << 30, 5 << 40].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "10 MiB", "1024.0 MiB", "16 GiB", "5 TiB"]);
    }

    #[test]
    fn times_and_counts() {
        assert_eq!(
            [85, 12_345, 1_240_000].map(|us| duration(Duration::from_micros(us))),
            ["85 us", "12.3 ms", "1.24 s"]
        );
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
