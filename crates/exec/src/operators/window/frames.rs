//! Which rows each row sees: partitions, peers and frames, all as positions in the sorted rows.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::partition;
use arrow::datatypes::*;
use firesteel_common::scalar::float_cmp;
use firesteel_common::{Error, Result, Scalar, SqlType};
use firesteel_expr::{EvalContext, Frame, FrameBound, FrameUnit};

/// For each row the first row of the segment that it is in, and the one after the last.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    pub(super) starts: Vec<u32>,
    pub(super) ends: Vec<u32>,
}

impl Segments {
    /// Runs of rows that are equal in all of `columns`; one run if there is no column.
    pub(super) fn of(columns: &[ArrayRef], rows: usize) -> Result<Self> {
        // All rows are equal in a column of type VOID.
        let columns: Vec<ArrayRef> = columns.iter().filter(|c| *c.data_type() != DataType::Null).cloned().collect();
        if columns.is_empty() {
            return Ok(Self { starts: vec![0; rows], ends: vec![rows as u32; rows] });
        }
        let (mut starts, mut ends) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for range in partition(&columns)?.ranges() {
            starts.extend(std::iter::repeat_n(range.start as u32, range.len()));
            ends.extend(std::iter::repeat_n(range.end as u32, range.len()));
        }
        Ok(Self { starts, ends })
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn range(&self, row: usize) -> (usize, usize) {
        (self.starts[row] as usize, self.ends[row] as usize)
    }
}

/// The frames of sorted rows.
pub(super) struct Frames<'a> {
    pub(super) partitions: Segments,
    /// `None` if they are the partitions.
    pub(super) peers: Option<Segments>,
    /// The ordering key, if there is exactly one: values, type, ascending.
    pub(super) key: Option<(&'a ArrayRef, SqlType, bool)>,
    pub(super) eval: &'a EvalContext,
    /// Those that were asked for, since calls often have the same.
    pub(super) known: RefCell<Vec<(Frame, Rc<Segments>)>>,
}

impl Frames<'_> {
    pub(super) fn peers(&self) -> &Segments {
        self.peers.as_ref().unwrap_or(&self.partitions)
    }

    /// The frame of each row; where it is empty, start and end are equal.
    pub(super) fn of(&self, frame: &Frame) -> Result<Rc<Segments>> {
        let known = self.known.borrow().iter().find(|(known, _)| known == frame).map(|(_, rows)| rows.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let rows = Rc::new(self.compute(frame)?);
        self.known.borrow_mut().push((frame.clone(), rows.clone()));
        Ok(rows)
    }

    fn compute(&self, frame: &Frame) -> Result<Segments> {
        let starts = self.bound(frame.unit, &frame.start, true)?;
        let mut ends = self.bound(frame.unit, &frame.end, false)?;
        ends.iter_mut().zip(&starts).for_each(|(end, start)| *end = (*end).max(*start));
        Ok(Segments { starts, ends })
    }

    /// First rows of the frames, or the rows after their last ones.
    fn bound(&self, unit: FrameUnit, bound: &FrameBound, is_start: bool) -> Result<Vec<u32>> {
        let pick = |segments: &Segments| if is_start { segments.starts.clone() } else { segments.ends.clone() };
        match (unit, bound) {
            (_, FrameBound::Unbounded) => Ok(pick(&self.partitions)),
            (FrameUnit::Range, FrameBound::CurrentRow) => Ok(pick(self.peers())),
            (FrameUnit::Rows, FrameBound::CurrentRow) => Ok(self.by_rows(0, is_start)),
            (FrameUnit::Rows, FrameBound::Preceding(n)) => Ok(self.by_rows(-count(n)?, is_start)),
            (FrameUnit::Rows, FrameBound::Following(n)) => Ok(self.by_rows(count(n)?, is_start)),
            (FrameUnit::Range, FrameBound::Preceding(distance)) => self.by_value(distance, true, is_start),
            (FrameUnit::Range, FrameBound::Following(distance)) => self.by_value(distance, false, is_start),
        }
    }

    fn by_rows(&self, offset: i64, is_start: bool) -> Vec<u32> {
        let after = i64::from(!is_start);
        let bound = |row: usize| {
            let (first, end) = self.partitions.range(row);
            (row as i64).saturating_add(offset).saturating_add(after).clamp(first as i64, end as i64) as u32
        };
        (0..self.partitions.len()).map(bound).collect()
    }

    fn by_value(&self, distance: &Scalar, preceding: bool, is_start: bool) -> Result<Vec<u32>> {
        let Some((column, ty, ascending)) = &self.key else {
            return Err(Error::internal("a RANGE frame with a distance needs exactly one ordering key"));
        };
        // Preceding rows have smaller keys if the order ascends.
        let keys = Keys::new(column, ty, distance, preceding == *ascending, self.eval)?;
        let nulls = column.logical_nulls();
        let is_null = |row: usize| nulls.as_ref().is_some_and(|n| n.is_null(row));
        let mut bounds = Vec::with_capacity(column.len());
        let mut values = (0, 0);
        let mut partition_end = 0;
        for row in 0..column.len() {
            let (first, end) = self.partitions.range(row);
            if row == first || partition_end != end {
                // NULLs are together at one end.
                let nulls_before = (first..end).take_while(|r| is_null(*r)).count();
                let nulls_after = (first + nulls_before..end).rev().take_while(|r| is_null(*r)).count();
                (values, partition_end) = ((first + nulls_before, end - nulls_after), end);
            }
            bounds.push(if is_null(row) {
                // No distance from NULL: the frame ends at the peers.
                if is_start { self.peers().starts[row] } else { self.peers().ends[row] }
            } else {
                let (mut low, mut high) = values;
                // The first row of the frame, or the first after it.
                while low < high {
                    let middle = low + (high - low) / 2;
                    let order = keys.compare(middle, row);
                    let order = if *ascending { order } else { order.reverse() };
                    let before = if is_start { order == Ordering::Less } else { order != Ordering::Greater };
                    if before {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                low as u32
            });
        }
        Ok(bounds)
    }
}

fn count(n: &Scalar) -> Result<i64> {
    n.as_i64().ok_or_else(|| Error::internal("the offset of a ROWS frame is no integer"))
}

/// Ordering keys, and the same moved by the distance of a bound.
enum Keys {
    Exact { values: Vec<i128>, moved: Vec<i128> },
    Float { values: Vec<f64>, moved: Vec<f64> },
}

impl Keys {
    fn new(column: &ArrayRef, ty: &SqlType, distance: &Scalar, minus: bool, eval: &EvalContext) -> Result<Self> {
        if ty.is_float() {
            let distance = distance.as_f64().ok_or_else(|| unfit(ty, distance))?;
            let distance = if minus { -distance } else { distance };
            let values: Vec<f64> = match column.data_type() {
                DataType::Float32 => {
                    column.as_primitive::<Float32Type>().values().iter().map(|v| f64::from(*v)).collect()
                }
                _ => column.as_primitive::<Float64Type>().values().to_vec(),
            };
            let moved = values.iter().map(|v| v + distance).collect();
            return Ok(Keys::Float { values, moved });
        }
        let values = exact(column)?;
        if let Scalar::IntervalYearMonth(months) = distance
            && ty.is_datetime()
        {
            let months = if minus { -*months } else { *months };
            let moved = move_months(&values, ty, months, eval)?;
            return Ok(Keys::Exact { values, moved });
        }
        let distance = exact_distance(ty, distance).ok_or_else(|| unfit(ty, distance))?;
        let distance = if minus { -distance } else { distance };
        let moved = values.iter().map(|v| v.saturating_add(distance)).collect();
        Ok(Keys::Exact { values, moved })
    }

    /// Order of the key of `row` and the moved one of `of`.
    fn compare(&self, row: usize, of: usize) -> Ordering {
        match self {
            Keys::Exact { values, moved } => values[row].cmp(&moved[of]),
            Keys::Float { values, moved } => float_cmp(values[row], moved[of]),
        }
    }
}

fn unfit(ty: &SqlType, distance: &Scalar) -> Error {
    Error::unsupported(format!(
        "A RANGE frame over a key of type {ty} with a distance of type {} is not supported.",
        distance.ty()
    ))
}

fn exact(column: &ArrayRef) -> Result<Vec<i128>> {
    fn wide<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Vec<i128>
    where
        i128: From<T::Native>,
    {
        array.values().iter().map(|v| i128::from(*v)).collect()
    }
    Ok(match column.data_type() {
        DataType::Int8 => wide(column.as_primitive::<Int8Type>()),
        DataType::Int16 => wide(column.as_primitive::<Int16Type>()),
        DataType::Int32 => wide(column.as_primitive::<Int32Type>()),
        DataType::Int64 => wide(column.as_primitive::<Int64Type>()),
        DataType::Decimal64(..) => wide(column.as_primitive::<Decimal64Type>()),
        DataType::Decimal128(..) => wide(column.as_primitive::<Decimal128Type>()),
        DataType::Date32 => wide(column.as_primitive::<Date32Type>()),
        DataType::Timestamp(..) => wide(column.as_primitive::<TimestampMicrosecondType>()),
        DataType::Interval(_) => wide(column.as_primitive::<IntervalYearMonthType>()),
        DataType::Duration(_) => wide(column.as_primitive::<DurationMicrosecondType>()),
        other => {
            return Err(Error::unsupported(format!(
                "A RANGE frame with a distance over a key of type {other} is not supported."
            )));
        }
    })
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The distance in the unit of the keys.
fn exact_distance(ty: &SqlType, distance: &Scalar) -> Option<i128> {
    Some(match (ty, distance) {
        (SqlType::Date, Scalar::IntervalDayTime(micros)) => i128::from(micros.div_euclid(MICROS_PER_DAY)),
        (SqlType::Timestamp | SqlType::TimestampNtz | SqlType::IntervalDayTime, Scalar::IntervalDayTime(micros)) => {
            i128::from(*micros)
        }
        (SqlType::IntervalYearMonth, Scalar::IntervalYearMonth(months)) => i128::from(*months),
        (SqlType::Decimal(_, scale), Scalar::Decimal(value, _, given)) if given <= scale => {
            value.checked_mul(10i128.pow(u32::from(scale - given)))?
        }
        (SqlType::Decimal(_, scale), value) => {
            i128::from(value.as_i64()?).checked_mul(10i128.pow(u32::from(*scale)))?
        }
        (ty, Scalar::Decimal(value, _, 0)) if ty.is_integer() => *value,
        (ty, value) if ty.is_integer() || *ty == SqlType::Date => i128::from(value.as_i64()?),
        _ => return None,
    })
}

/// Dates or times moved by calendar months, in the session's zone for TIMESTAMP.
fn move_months(values: &[i128], ty: &SqlType, months: i32, eval: &EvalContext) -> Result<Vec<i128>> {
    let is_utc = matches!(&*eval.time_zone, "UTC" | "Z" | "Etc/UTC" | "GMT");
    let zone = if *ty == SqlType::Timestamp && !is_utc { &*eval.time_zone } else { "+00:00" };
    let zone: arrow::array::timezone::Tz = zone.parse().map_err(|_| {
        Error::unsupported(format!("A RANGE frame of months over TIMESTAMP in the time zone {zone} is not supported."))
    })?;
    let unit = if *ty == SqlType::Date { MICROS_PER_DAY } else { 1 };
    let moved = |value: &i128| {
        let micros = i64::try_from(*value).ok()?.checked_mul(unit)?;
        Some(i128::from(TimestampMicrosecondType::add_year_months(micros, months, zone)?.div_euclid(unit)))
    };
    // A moment that the calendar does not reach is beyond all keys.
    let beyond = if months < 0 { i128::MIN } else { i128::MAX };
    Ok(values.iter().map(|v| moved(v).unwrap_or(beyond)).collect())
}
