//! Case, length, trimming, slicing, padding and joining.

use firesteel_common::SqlType::{self, Binary, Int, String as Str};
use firesteel_common::{Result, Scalar};
use firesteel_expr::Signature;

use super::{char_count, char_range, string, substring};
use crate::check;
use crate::scalar::{Args, Function, Sig};

const S_S: Sig = Sig::Fixed(&[Str], 1, &Str);
const SI_S: Sig = Sig::Fixed(&[Str, Int], 2, &Str);
const S_I: Sig = Sig::Fixed(&[Str], 1, &Int);

pub(super) const FUNCTIONS: &[Function] = &[
    string(
        ("upper", &["ucase"]),
        "upper(str)",
        "Returns the string with all characters changed to upper case.",
        &[("SELECT upper('SparkSql')", "SPARKSQL")],
        S_S,
        |a| map_strings(a, |s| s.to_uppercase()),
    )
    .total(),
    string(
        ("lower", &["lcase"]),
        "lower(str)",
        "Returns the string with all characters changed to lower case.",
        &[("SELECT lower('SparkSql')", "sparksql")],
        S_S,
        |a| map_strings(a, |s| s.to_lowercase()),
    )
    .total(),
    string(
        ("length", &["char_length", "character_length", "len"]),
        "length(expr)",
        "Returns the number of characters of a string, or of bytes of a binary.",
        &[
            ("SELECT length('Spark SQL ')", "10"),
            ("SELECT char_length('Spark SQL ')", "10"),
            ("SELECT length(x'537061726b')", "5"),
        ],
        Sig::Custom(text_or_binary_to_int),
        |a| match a.types[0] {
            Binary => binary_length(a, 1),
            _ => {
                let s = a.strings(0)?;
                a.out_ints(|i| Some(char_count(s.get(i)?) as i32))
            }
        },
    )
    .total(),
    string(
        ("octet_length", &[]),
        "octet_length(expr)",
        "Returns the number of bytes of a string or binary.",
        &[("SELECT octet_length('Spark SQL')", "9")],
        Sig::Custom(text_or_binary_to_int),
        |a| byte_length(a, 1),
    )
    .total(),
    string(
        ("bit_length", &[]),
        "bit_length(expr)",
        "Returns the number of bits of a string or binary.",
        &[("SELECT bit_length('Spark SQL')", "72")],
        Sig::Custom(text_or_binary_to_int),
        |a| byte_length(a, 8),
    )
    .total(),
    string(
        ("trim", &[]),
        "trim(str) or trim([BOTH | LEADING | TRAILING] trimStr FROM str)",
        "Removes spaces, or the given characters, from both ends of the string.",
        &[("SELECT trim('    SparkSQL   ')", "SparkSQL")],
        Sig::Fixed(&[Str, Str], 1, &Str),
        |a| trim(a, true, true),
    )
    .total(),
    string(
        ("btrim", &[]),
        "btrim(str[, trimStr])",
        "Removes spaces, or the given characters, from both ends of the string.",
        &[("SELECT btrim('    SparkSQL   ')", "SparkSQL"), ("SELECT btrim('SSparkSQLS', 'SL')", "parkSQ")],
        Sig::Fixed(&[Str, Str], 1, &Str),
        |a| trim(a, true, true),
    )
    .total(),
    string(
        ("ltrim", &[]),
        "ltrim(str[, trimStr])",
        "Removes spaces, or the given characters, from the start of the string.",
        &[("SELECT ltrim('    SparkSQL   ')", "SparkSQL   ")],
        Sig::Fixed(&[Str, Str], 1, &Str),
        |a| trim(a, true, false),
    )
    .total(),
    string(
        ("rtrim", &[]),
        "rtrim(str[, trimStr])",
        "Removes spaces, or the given characters, from the end of the string.",
        &[("SELECT rtrim('    SparkSQL   ')", "    SparkSQL")],
        Sig::Fixed(&[Str, Str], 1, &Str),
        |a| trim(a, false, true),
    )
    .total(),
    string(
        ("substring", &["substr"]),
        "substring(str, pos[, len])",
        "Returns the part of the string that starts at `pos` and has at most `len` characters.",
        &[
            ("SELECT substring('Spark SQL', 5)", "k SQL"),
            ("SELECT substring('Spark SQL', -3)", "SQL"),
            ("SELECT substring('Spark SQL', 5, 1)", "k"),
            ("SELECT substring('hello', 0, 2)", "he"),
        ],
        Sig::Fixed(&[Str, Int, Int], 2, &Str),
        |a| {
            let (s, pos) = (a.strings(0)?, a.ints(1)?);
            if a.len() == 2 {
                return a.out_strings(|i| Some(substring(s.get(i)?, pos.get(i)?.into(), i64::from(i32::MAX))));
            }
            let len = a.ints(2)?;
            a.out_strings(|i| Some(substring(s.get(i)?, pos.get(i)?.into(), len.get(i)?.into())))
        },
    )
    .total(),
    string(
        ("left", &[]),
        "left(str, len)",
        "Returns the leftmost `len` characters of the string.",
        &[("SELECT left('Spark SQL', 3)", "Spa")],
        SI_S,
        |a| {
            let (s, n) = (a.strings(0)?, a.ints(1)?);
            a.out_strings(|i| Some(char_range(s.get(i)?, 0, n.get(i)?.max(0) as usize)))
        },
    )
    .total(),
    string(
        ("right", &[]),
        "right(str, len)",
        "Returns the rightmost `len` characters of the string.",
        &[("SELECT right('Spark SQL', 3)", "SQL")],
        SI_S,
        |a| {
            let (s, n) = (a.strings(0)?, a.ints(1)?);
            a.out_strings(|i| {
                let (s, n) = (s.get(i)?, n.get(i)?.max(0) as usize);
                let count = char_count(s);
                Some(char_range(s, count.saturating_sub(n), count))
            })
        },
    )
    .total(),
    string(
        ("lpad", &[]),
        "lpad(str, len[, pad])",
        "Pads the string on the left with `pad` (a space) to `len` characters, or cuts it to them.",
        &[
            ("SELECT lpad('hi', 5, '??')", "???hi"),
            ("SELECT lpad('hi', 1, '??')", "h"),
            ("SELECT lpad('hi', 5)", "   hi"),
        ],
        Sig::Fixed(&[Str, Int, Str], 2, &Str),
        |a| pad(a, true),
    )
    .total(),
    string(
        ("rpad", &[]),
        "rpad(str, len[, pad])",
        "Pads the string on the right with `pad` (a space) to `len` characters, or cuts it to them.",
        &[("SELECT rpad('hi', 5, '??')", "hi???"), ("SELECT rpad('hi', 1, '??')", "h")],
        Sig::Fixed(&[Str, Int, Str], 2, &Str),
        |a| pad(a, false),
    )
    .total(),
    string(
        ("concat", &[]),
        "concat(col1, col2, ..., colN)",
        "Returns the concatenation of the arguments; NULL if one is NULL.",
        &[("SELECT concat('Spark', 'SQL')", "SparkSQL"), ("SELECT concat('a', NULL)", "NULL")],
        Sig::Custom(|_, args, _| strings_or_binaries(args)),
        concat,
    )
    .total(),
    string(
        ("concat_ws", &[]),
        "concat_ws(sep[, str]...)",
        "Returns the strings that are not NULL, joined by `sep`.",
        &[
            ("SELECT concat_ws(' ', 'Spark', 'SQL')", "Spark SQL"),
            ("SELECT concat_ws('s')", ""),
            ("SELECT concat_ws('/', 'foo', NULL, 'bar')", "foo/bar"),
        ],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, usize::MAX)?;
            Ok(Signature { args: vec![Str; args.len()], ty: Str, may_be_null: false })
        }),
        |a| {
            let (separator, parts) = (a.strings(0)?, a.strings_from(1)?);
            a.out_strings(|i| {
                let present: Vec<&str> = parts.iter().filter_map(|p| p.get(i)).collect();
                Some(present.join(separator.get(i)?))
            })
        },
    )
    .total()
    .handles_null(),
    string(
        ("reverse", &[]),
        "reverse(str)",
        "Returns the string with its characters in reverse order.",
        &[("SELECT reverse('Spark SQL')", "LQS krapS")],
        S_S,
        |a| map_strings(a, |s| s.chars().rev().collect()),
    )
    .total(),
    string(
        ("repeat", &[]),
        "repeat(str, n)",
        "Returns the string repeated `n` times.",
        &[("SELECT repeat('123', 2)", "123123")],
        SI_S,
        |a| {
            let (s, n) = (a.strings(0)?, a.ints(1)?);
            a.out_strings(|i| Some(s.get(i)?.repeat(n.get(i)?.max(0) as usize)))
        },
    )
    .total(),
    string(
        ("space", &[]),
        "space(n)",
        "Returns a string of `n` spaces.",
        &[("SELECT concat(space(2), '1')", "  1")],
        Sig::Fixed(&[Int], 1, &Str),
        |a| {
            let n = a.ints(0)?;
            a.out_strings(|i| Some(" ".repeat(n.get(i)?.max(0) as usize)))
        },
    )
    .total(),
    string(
        ("initcap", &[]),
        "initcap(str)",
        "Returns the string with the first letter of each word in upper case, all others in lower case.",
        &[("SELECT initcap('sPark sql')", "Spark Sql")],
        S_S,
        |a| map_strings(a, initcap),
    )
    .total(),
    string(
        ("ascii", &[]),
        "ascii(str)",
        "Returns the code point of the first character of the string, 0 if it is empty.",
        &[("SELECT ascii('222')", "50"), ("SELECT ascii(2)", "50")],
        S_I,
        |a| {
            let s = a.strings(0)?;
            a.out_ints(|i| Some(s.get(i)?.chars().next().map_or(0, |c| c as i32)))
        },
    )
    .total(),
    string(
        ("chr", &["char"]),
        "chr(expr)",
        "Returns the character of a code; codes above 255 count modulo 256, negative ones give ''.",
        &[("SELECT chr(65)", "A")],
        Sig::Fixed(&[SqlType::BigInt], 1, &Str),
        |a| {
            let n = a.longs(0)?;
            a.out_strings(|i| {
                let n = n.get(i)?;
                Some(if n < 0 { String::new() } else { char::from((n & 0xFF) as u8).to_string() })
            })
        },
    )
    .total(),
    string(
        ("elt", &[]),
        "elt(n, input1, input2, ...)",
        "Returns the n-th input.",
        &[("SELECT elt(1, 'scala', 'java')", "scala"), ("SELECT elt(2, 'a', 1)", "1")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 2, usize::MAX)?;
            let types = std::iter::once(Int).chain(vec![Str; args.len() - 1]).collect();
            Ok(Signature { args: types, ty: Str, may_be_null: true })
        }),
        elt,
    )
    .handles_null(),
];

fn map_strings(a: &Args, f: impl Fn(&str) -> String) -> Result<arrow::array::ArrayRef> {
    let s = a.strings(0)?;
    a.out_strings(|i| s.get(i).map(&f))
}

fn text_or_binary_to_int(name: &'static str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 1, 1)?;
    let arg = if args[0] == Binary { Binary } else { Str };
    Ok(Signature { args: vec![arg], ty: Int, may_be_null: false })
}

fn strings_or_binaries(args: &[SqlType]) -> Result<Signature> {
    let ty = if !args.is_empty() && args.iter().all(|t| *t == Binary) { Binary } else { Str };
    Ok(Signature { args: vec![ty.clone(); args.len()], ty, may_be_null: false })
}

fn binary_length(a: &Args, unit: i32) -> Result<arrow::array::ArrayRef> {
    let b = a.binaries(0)?;
    a.out_ints(|i| Some(b.get(i)?.len() as i32 * unit))
}

fn byte_length(a: &Args, unit: i32) -> Result<arrow::array::ArrayRef> {
    if a.types[0] == Binary {
        return binary_length(a, unit);
    }
    let s = a.strings(0)?;
    a.out_ints(|i| Some(s.get(i)?.len() as i32 * unit))
}

/// Without characters, the space alone is trimmed, not all white space.
fn trim(a: &Args, start: bool, end: bool) -> Result<arrow::array::ArrayRef> {
    let s = a.strings(0)?;
    let chars = if a.len() > 1 { Some(a.strings(1)?) } else { None };
    a.out_strings(|i| {
        let mut s = s.get(i)?;
        let chars = match &chars {
            Some(chars) => chars.get(i)?,
            None => " ",
        };
        if start {
            s = s.trim_start_matches(|c| chars.contains(c));
        }
        if end {
            s = s.trim_end_matches(|c| chars.contains(c));
        }
        Some(s)
    })
}

fn pad(a: &Args, left: bool) -> Result<arrow::array::ArrayRef> {
    let (s, len) = (a.strings(0)?, a.ints(1)?);
    let pad = if a.len() > 2 { Some(a.strings(2)?) } else { None };
    a.out_strings(|i| {
        let (s, len) = (s.get(i)?, len.get(i)?.max(0) as usize);
        let pad = match &pad {
            Some(pad) => pad.get(i)?,
            None => " ",
        };
        let count = char_count(s);
        if count >= len || pad.is_empty() {
            return Some(char_range(s, 0, len).to_owned());
        }
        let fill: String = pad.chars().cycle().take(len - count).collect();
        Some(if left { fill + s } else { s.to_owned() + &fill })
    })
}

fn concat(a: &Args) -> Result<arrow::array::ArrayRef> {
    if *a.ty == Binary {
        let parts = (0..a.len()).map(|index| a.binaries(index)).collect::<Result<Vec<_>>>()?;
        return a.try_binaries(|i| Ok(parts.iter().map(|p| p.get(i)).collect::<Option<Vec<_>>>().map(|p| p.concat())));
    }
    let parts = a.strings_from(0)?;
    a.out_strings(|i| {
        let mut joined = String::new();
        for part in &parts {
            joined.push_str(part.get(i)?);
        }
        Some(joined)
    })
}

fn initcap(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut first = true;
    for c in s.chars() {
        if first {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        first = c == ' ';
    }
    out
}

fn elt(a: &Args) -> Result<arrow::array::ArrayRef> {
    let (n, inputs) = (a.ints(0)?, a.strings_from(1)?);
    a.try_strings(|i| {
        let Some(n) = n.get(i) else { return Ok(None) };
        match usize::try_from(i64::from(n) - 1).ok().and_then(|index| inputs.get(index)) {
            Some(input) => Ok(input.get(i)),
            None if !a.cx.ansi => Ok(None),
            None => Err(firesteel_common::Error::compute(
                "INVALID_ARRAY_INDEX",
                "22003",
                format!(
                    "The index {n} is out of bounds. The array has {} elements. Use the SQL function `get()` to \
                     tolerate accessing element at invalid index and return NULL instead.",
                    inputs.len()
                ),
            )),
        }
    })
}
