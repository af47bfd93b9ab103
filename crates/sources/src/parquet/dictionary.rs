//! Dictionaries of column chunks: decoded once, and shared by the morsels of a row group.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use bytes::Bytes;
use firesteel_common::SqlType;
use parking_lot::Mutex;
use parquet::basic::Type as PhysicalType;

use super::native::Damage;
use super::rle::Truncated;
use super::views::Views;

/// The values that codes stand for.
#[derive(Debug)]
pub(crate) enum Dictionary {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    /// Strings or binaries, as views.
    Bytes(ArrayRef),
}

/// Dictionaries of a scan by (part, row group, leaf). The oldest leave when they become too many
/// bytes; tasks work on neighbouring row groups, so they are not wanted again.
#[derive(Debug, Default)]
pub(crate) struct Dictionaries(Mutex<(VecDeque<KeptDictionary>, usize)>);

/// A dictionary with its key and its bytes.
type KeptDictionary = (DictionaryKey, Arc<Dictionary>, usize);

pub(crate) type DictionaryKey = (usize, usize, usize);
const MAX_DICTIONARY_BYTES: usize = 128 << 20;

impl Dictionary {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }
}

impl Dictionaries {
    pub(super) fn get(&self, key: DictionaryKey) -> Option<Arc<Dictionary>> {
        self.0.lock().0.iter().find(|(k, ..)| *k == key).map(|(_, dictionary, _)| dictionary.clone())
    }

    /// Adds one, unless another task was faster: all are to use the same, whose identity they compare.
    pub(super) fn insert(&self, key: DictionaryKey, dictionary: Arc<Dictionary>, bytes: usize) -> Arc<Dictionary> {
        let mut held = self.0.lock();
        if let Some((_, found, _)) = held.0.iter().find(|(k, ..)| *k == key) {
            return found.clone();
        }
        held.0.push_back((key, dictionary.clone(), bytes));
        held.1 += bytes;
        while held.1 > MAX_DICTIONARY_BYTES
            && let Some((_, _, oldest)) = held.0.pop_front()
        {
            held.1 -= oldest;
        }
        dictionary
    }
}

/// A plain value of fixed width.
pub(super) trait Fixed: Copy + Default {
    const WIDTH: usize;
    fn decode(bytes: &[u8], out: &mut Vec<Self>);
    /// Appends the values at `positions`.
    fn pick(bytes: &[u8], positions: impl Iterator<Item = usize>, out: &mut Vec<Self>);
    fn of(dictionary: &Dictionary) -> Option<&[Self]>;
}

macro_rules! fixed {
    ($($ty:ty, $variant:ident;)*) => {$(
        impl Fixed for $ty {
            const WIDTH: usize = size_of::<$ty>();
            fn decode(bytes: &[u8], out: &mut Vec<Self>) {
                let (values, _) = bytes.as_chunks::<{ size_of::<$ty>() }>();
                out.extend(values.iter().map(|value| <$ty>::from_le_bytes(*value)));
            }
            fn pick(bytes: &[u8], positions: impl Iterator<Item = usize>, out: &mut Vec<Self>) {
                let (values, _) = bytes.as_chunks::<{ size_of::<$ty>() }>();
                for position in positions {
                    out.push(values.get(position).map_or(Self::default(), |v| <$ty>::from_le_bytes(*v)));
                }
            }
            fn of(dictionary: &Dictionary) -> Option<&[Self]> {
                match dictionary {
                    Dictionary::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    )*};
}
fixed! { i32, Int32; i64, Int64; f32, Float; f64, Double; }

/// Decodes a dictionary page of `n` values.
pub(super) fn decode_dictionary(
    buf: Bytes,
    n: usize,
    physical: PhysicalType,
    ty: &SqlType,
) -> Result<Dictionary, Damage> {
    fn plain<T: Fixed>(buf: &[u8], n: usize) -> Result<Vec<T>, Damage> {
        let mut values = Vec::with_capacity(n.min(buf.len()));
        T::decode(buf.get(..n * T::WIDTH).ok_or(Truncated)?, &mut values);
        Ok(values)
    }
    Ok(match physical {
        PhysicalType::INT32 => Dictionary::Int32(plain(&buf, n)?),
        PhysicalType::INT64 => Dictionary::Int64(plain(&buf, n)?),
        PhysicalType::FLOAT => Dictionary::Float(plain(&buf, n)?),
        PhysicalType::DOUBLE => Dictionary::Double(plain(&buf, n)?),
        _ => {
            let mut views = Views::new(ty.is_string());
            views.append(&mut buf.clone(), n)?;
            Dictionary::Bytes(views.finish(None)?)
        }
    })
}
