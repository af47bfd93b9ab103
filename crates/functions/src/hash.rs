//! The hashes of SQL, `hash` (Murmur3, 32 bits) and `xxhash64`, which agree with Spark's for every type.
//!
//! The hash of one argument is the seed of the next; a NULL leaves it as it is.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use firesteel_common::{Error, Result, SqlType};

/// What a value is hashed as.
enum Word<'a> {
    Int(i32),
    Long(i64),
    Bytes(&'a [u8]),
}

/// Murmur3 of a column into `hashes`.
pub(crate) fn murmur3(array: &ArrayRef, ty: &SqlType, hashes: &mut [i32]) -> Result<()> {
    words(array, ty, |row, word| {
        let seed = hashes[row] as u32;
        hashes[row] = match word {
            Word::Int(v) => finish32(mix32(seed, v as u32), 4),
            Word::Long(v) => finish32(mix32(mix32(seed, v as u32), (v >> 32) as u32), 8),
            Word::Bytes(bytes) => murmur3_bytes(bytes, seed),
        } as i32;
    })
}

/// xxHash of a column into `hashes`.
pub(crate) fn xxhash64(array: &ArrayRef, ty: &SqlType, hashes: &mut [i64]) -> Result<()> {
    words(array, ty, |row, word| {
        let seed = hashes[row] as u64;
        hashes[row] = match word {
            Word::Int(v) => avalanche(step4(seed.wrapping_add(P5).wrapping_add(4), u64::from(v as u32))),
            Word::Long(v) => avalanche(step8(seed.wrapping_add(P5).wrapping_add(8), v as u64)),
            Word::Bytes(bytes) => xxhash_bytes(bytes, seed),
        } as i64;
    })
}

fn words(array: &ArrayRef, ty: &SqlType, mut f: impl FnMut(usize, Word<'_>)) -> Result<()> {
    let nulls = array.logical_nulls();
    let rows = (0..array.len()).filter(|row| nulls.as_ref().is_none_or(|n| n.is_valid(*row)));
    macro_rules! each {
        ($arrow:ty, $word:expr) => {{
            let values = array.as_primitive::<$arrow>().values();
            rows.for_each(|row| f(row, $word(values[row])))
        }};
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => {
            let values = array.as_boolean();
            rows.for_each(|row| f(row, Word::Int(i32::from(values.value(row)))));
        }
        DataType::Int8 => each!(Int8Type, |v| Word::Int(i32::from(v))),
        DataType::Int16 => each!(Int16Type, |v| Word::Int(i32::from(v))),
        DataType::Int32 => each!(Int32Type, Word::Int),
        DataType::Date32 => each!(Date32Type, Word::Int),
        DataType::Interval(IntervalUnit::YearMonth) => each!(IntervalYearMonthType, Word::Int),
        DataType::Int64 => each!(Int64Type, Word::Long),
        DataType::Decimal64(..) => each!(Decimal64Type, Word::Long),
        DataType::Timestamp(..) => each!(TimestampMicrosecondType, Word::Long),
        DataType::Duration(_) => each!(DurationMicrosecondType, Word::Long),
        DataType::Float32 => {
            each!(Float32Type, |v: f32| Word::Int((if v.is_nan() { f32::NAN } else { v + 0.0 }).to_bits() as i32))
        }
        DataType::Float64 => {
            each!(Float64Type, |v: f64| Word::Long((if v.is_nan() { f64::NAN } else { v + 0.0 }).to_bits() as i64))
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            rows.for_each(|row| {
                let bytes = values[row].to_be_bytes();
                f(row, Word::Bytes(shortest(&bytes)));
            });
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            rows.for_each(|row| f(row, Word::Bytes(values.value(row).as_bytes())));
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            rows.for_each(|row| f(row, Word::Bytes(values.value(row))));
        }
        other => return Err(Error::internal(format!("no hash of {ty} as {other}"))),
    }
    Ok(())
}

/// The shortest two's complement form, most significant byte first, as Java's `BigInteger` has it.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let mut start = 0;
    while start < 15 {
        let redundant =
            (bytes[start] == 0 && bytes[start + 1] < 0x80) || (bytes[start] == 0xFF && bytes[start + 1] >= 0x80);
        if !redundant {
            break;
        }
        start += 1;
    }
    &bytes[start..]
}

fn mix32(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64)
}

fn finish32(hash: u32, length: u32) -> u32 {
    let mut x = hash ^ length;
    x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}

/// Spark mixes each byte after the last whole word as a word of its own.
pub(crate) fn murmur3_bytes(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = seed;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        hash = mix32(hash, u32::from_le_bytes(*word));
    }
    for byte in rest {
        hash = mix32(hash, i32::from(*byte as i8) as u32);
    }
    finish32(hash, bytes.len() as u32)
}

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

fn round(state: u64, word: u64) -> u64 {
    state.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn step8(hash: u64, word: u64) -> u64 {
    (hash ^ round(0, word)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
}

fn step4(hash: u64, word: u64) -> u64 {
    (hash ^ word.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3)
}

fn avalanche(hash: u64) -> u64 {
    let mut x = hash;
    x = (x ^ (x >> 33)).wrapping_mul(P2);
    x = (x ^ (x >> 29)).wrapping_mul(P3);
    x ^ (x >> 32)
}

fn xxhash_bytes(bytes: &[u8], seed: u64) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut hash = if blocks.is_empty() {
        seed.wrapping_add(P5)
    } else {
        let mut state = [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
        for block in blocks {
            for (lane, word) in state.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let mut hash = state
            .iter()
            .zip([1, 7, 12, 18])
            .fold(0u64, |hash, (lane, shift)| hash.wrapping_add(lane.rotate_left(shift)));
        for lane in state {
            hash = (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
        hash
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash = step8(hash, u64::from_le_bytes(*word));
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        hash = step4(hash, u64::from(u32::from_le_bytes(*word)));
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    avalanche(hash)
}
