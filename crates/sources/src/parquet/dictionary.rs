//! Dictionaries of column chunks: decoded once, and shared by the morsels of a row group.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;
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
    Int32(ScalarBuffer<i32>),
    Int64(ScalarBuffer<i64>),
    Float(ScalarBuffer<f32>),
    Double(ScalarBuffer<f64>),
    /// Strings or binaries, as views.
    Bytes(ArrayRef),
}

/// Dictionaries of a scan by (part, row group, leaf), of the row groups that were begun last. Morsels are handed out in
/// the order of row groups, so an older one is not wanted again but by cursors that hold theirs; kept longer, each
/// dictionary would take a fresh buffer, which the kernel has to clear.
#[derive(Debug)]
pub(crate) struct Dictionaries {
    /// Row groups whose dictionaries are kept.
    groups: usize,
    held: Mutex<VecDeque<GroupDictionaries>>,
}

/// A row group of a part, and its dictionaries by leaf.
type GroupDictionaries = ((usize, usize), Vec<(usize, Arc<Dictionary>)>);

pub(crate) type DictionaryKey = (usize, usize, usize);

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

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Int32(values) => values.inner().capacity(),
            Self::Int64(values) => values.inner().capacity(),
            Self::Float(values) => values.inner().capacity(),
            Self::Double(values) => values.inner().capacity(),
            Self::Bytes(values) => values.get_buffer_memory_size(),
        }
    }
}

impl Dictionaries {
    /// For morsels that so many workers read at the same time.
    pub(crate) fn new(workers: usize) -> Self {
        Self { groups: workers + 1, held: Mutex::default() }
    }

    pub(super) fn get(&self, (part, group, leaf): DictionaryKey) -> Option<Arc<Dictionary>> {
        let held = self.held.lock();
        let (_, dictionaries) = held.iter().find(|(of, _)| *of == (part, group))?;
        dictionaries.iter().find(|(of, _)| *of == leaf).map(|(_, dictionary)| dictionary.clone())
    }

    /// Adds one, unless another task was faster: all are to use the same, whose identity they compare.
    pub(super) fn insert(&self, key: DictionaryKey, dictionary: Arc<Dictionary>) -> Arc<Dictionary> {
        let (part, group, leaf) = key;
        let mut held = self.held.lock();
        let at = held.iter().position(|(of, _)| *of == (part, group)).unwrap_or_else(|| {
            if held.len() >= self.groups {
                held.pop_front();
            }
            held.push_back(((part, group), Vec::new()));
            held.len() - 1
        });
        let dictionaries = &mut held[at].1;
        if let Some((_, found)) = dictionaries.iter().find(|(of, _)| *of == leaf) {
            return found.clone();
        }
        dictionaries.push((leaf, dictionary.clone()));
        dictionary
    }
}

/// A plain value of fixed width.
pub(super) trait Fixed: ArrowNativeType {
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
                    Dictionary::$variant(values) => Some(&values[..]),
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
    Ok(match physical {
        PhysicalType::INT32 => Dictionary::Int32(plain(buf, n)?),
        PhysicalType::INT64 => Dictionary::Int64(plain(buf, n)?),
        PhysicalType::FLOAT => Dictionary::Float(plain(buf, n)?),
        PhysicalType::DOUBLE => Dictionary::Double(plain(buf, n)?),
        _ => {
            let mut views = Views::new(ty.is_string());
            views.append(&mut buf.clone(), n)?;
            Dictionary::Bytes(views.finish(None)?)
        }
    })
}

/// The first `n` values of `bytes`: the bytes themselves where they are laid out as the processor wants them.
fn plain<T: Fixed>(bytes: Bytes, n: usize) -> Result<ScalarBuffer<T>, Damage> {
    let values = n.checked_mul(T::WIDTH).and_then(|length| bytes.get(..length)).ok_or(Truncated)?;
    if cfg!(target_endian = "little") && values.as_ptr().cast::<T>().is_aligned() {
        return Ok(ScalarBuffer::new(Buffer::from(bytes), 0, n));
    }
    let mut out = Vec::with_capacity(n);
    T::decode(values, &mut out);
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::PageBuffer;

    #[test]
    fn values_are_the_bytes_where_they_are_aligned() {
        let mut buffer = PageBuffer::take(25);
        let stored = (7..10i64).flat_map(i64::to_le_bytes);
        buffer.filled().iter_mut().zip(stored.clone().chain([0])).for_each(|(to, from)| *to = from);
        let aligned = buffer.into_bytes();
        let values = plain::<i64>(aligned.clone(), 3).unwrap();
        assert_eq!((&values[..], values.inner().as_ptr()), (&[7, 8, 9][..], aligned.as_ptr()));
        let odd = Bytes::from([0].into_iter().chain(stored).collect::<Vec<u8>>()).slice(1..);
        assert_eq!(plain::<i64>(odd.clone(), 3).unwrap()[..], [7, 8, 9]);
        for n in [4, usize::MAX] {
            assert!(plain::<i64>(aligned.clone(), n).is_err());
            assert!(plain::<i64>(odd.clone(), n).is_err());
        }
    }

    #[test]
    fn the_row_groups_begun_last_are_kept() {
        let dictionaries = Dictionaries::new(1);
        let one = |value| Arc::new(Dictionary::Int32(vec![value].into()));
        let first = dictionaries.insert((0, 0, 5), one(1));
        assert!(Arc::ptr_eq(&first, &dictionaries.insert((0, 0, 5), one(2))), "the one that was there is used");
        dictionaries.insert((0, 0, 6), one(3));
        dictionaries.insert((0, 1, 5), one(4));
        assert!(dictionaries.get((0, 0, 6)).is_some());
        dictionaries.insert((1, 0, 5), one(5));
        let found = |part, group| dictionaries.get((part, group, 5)).is_some();
        assert_eq!([found(0, 0), found(0, 1), found(1, 0)], [false, true, true]);
        assert!(dictionaries.get((0, 0, 6)).is_none());
    }
}
