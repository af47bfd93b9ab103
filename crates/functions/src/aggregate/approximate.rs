//! `approx_count_distinct`: HyperLogLog over the engine's 64-bit hash.
//!
//! A group keeps the hashes themselves while there are few, so that small counts are exact and small
//! groups small; then 2048 registers (a standard error of 2.3 %). The estimate is Ertl's, which needs no
//! tables of bias.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryViewArray, BooleanArray};
use arrow::datatypes::Int64Type;
use firesteel_common::hash::hash_columns;
use firesteel_common::{Error, Result, SqlType};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, array_of, for_each_row, live};
use super::{Aggregate, doc};
use crate::check;

const BITS: u32 = 11;
const REGISTERS: usize = 1 << BITS;
/// Hashes that are kept as they are.
const FEW: usize = 128;

pub(super) const FUNCTIONS: &[Aggregate] = &[Aggregate {
    doc: doc(
        "approx_count_distinct",
        &[],
        "approx_count_distinct(expr)",
        "Returns the estimated number of distinct values.",
        &[("SELECT approx_count_distinct(col1) FROM VALUES (1), (1), (2), (2), (3) tab(col1)", "3")],
    ),
    bind: |name, args| {
        check::arity(name, args.len(), 1, 2)?;
        if args.len() == 2 {
            return Err(Error::unsupported(
                "The parameter `relativeSD` of approx_count_distinct is not supported yet.",
            ));
        }
        let state = vec![SqlType::Binary];
        Ok(AggregateSignature { args: args.to_vec(), ty: SqlType::BigInt, nullable: false, state })
    },
    make: |_, _, _| Ok(Box::new(Distinct { groups: Vec::new(), hashes: Vec::new(), bytes: 0 })),
    ignores_duplicates: true,
}];

#[derive(Clone)]
enum Sketch {
    Few(Vec<u64>),
    Registers(Box<[u8]>),
}

impl Sketch {
    fn add(&mut self, hash: u64) {
        match self {
            Sketch::Few(hashes) if hashes.contains(&hash) => {}
            Sketch::Few(hashes) if hashes.len() < FEW => hashes.push(hash),
            Sketch::Few(hashes) => {
                let mut registers = vec![0; REGISTERS].into_boxed_slice();
                hashes.iter().chain([&hash]).for_each(|hash| set(&mut registers, *hash));
                *self = Sketch::Registers(registers);
            }
            Sketch::Registers(registers) => set(registers, hash),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Sketch::Few(hashes) => hashes.capacity() * 8,
            Sketch::Registers(registers) => registers.len(),
        }
    }

    fn count(&self) -> i64 {
        match self {
            Sketch::Few(hashes) => hashes.len() as i64,
            Sketch::Registers(registers) => estimate(registers),
        }
    }

    /// A tag, then hashes or registers.
    fn encode(&self) -> Vec<u8> {
        match self {
            Sketch::Few(hashes) => std::iter::once(0).chain(hashes.iter().flat_map(|h| h.to_le_bytes())).collect(),
            Sketch::Registers(registers) => std::iter::once(1).chain(registers.iter().copied()).collect(),
        }
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        match bytes {
            [0, hashes @ ..] => hashes.as_chunks::<8>().0.iter().for_each(|h| self.add(u64::from_le_bytes(*h))),
            [1, registers @ ..] if registers.len() == REGISTERS => {
                if let Sketch::Few(hashes) = self {
                    let mut own = vec![0; REGISTERS].into_boxed_slice();
                    hashes.iter().for_each(|hash| set(&mut own, *hash));
                    *self = Sketch::Registers(own);
                }
                if let Sketch::Registers(own) = self {
                    own.iter_mut().zip(registers).for_each(|(a, b)| *a = (*a).max(*b));
                }
            }
            _ => return Err(Error::internal("malformed state of approx_count_distinct")),
        }
        Ok(())
    }
}

fn set(registers: &mut [u8], hash: u64) {
    let rank = ((hash << BITS) | (1 << (BITS - 1))).leading_zeros() as u8 + 1;
    let register = &mut registers[(hash >> (64 - BITS)) as usize];
    *register = (*register).max(rank);
}

fn estimate(registers: &[u8]) -> i64 {
    let m = REGISTERS as f64;
    let most = (64 - BITS) as usize + 1;
    let mut counts = [0.0; 66];
    registers.iter().for_each(|r| counts[usize::from(*r)] += 1.0);
    let mut z = m * tau(1.0 - counts[most] / m);
    for count in counts[1..most].iter().rev() {
        z = 0.5 * (z + count);
    }
    z += m * sigma(counts[0] / m);
    (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as i64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

struct Distinct {
    groups: Vec<Sketch>,
    /// Hashes of a batch, kept for the next.
    hashes: Vec<u64>,
    bytes: usize,
}

impl GroupAccumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Sketch::Few(Vec::new()));
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let array = arg(args, 0)?;
        let live = live(Some(array), filter);
        hash_columns(std::slice::from_ref(array), groups.len(), &mut self.hashes)?;
        for_each_row(groups, live.as_ref(), |group, row| {
            let sketch = &mut self.groups[group];
            let before = sketch.bytes();
            sketch.add(self.hashes[row]);
            self.bytes += sketch.bytes();
            self.bytes -= before;
        });
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let states = arg(states, 0)?.as_binary_view_opt().ok_or_else(|| Error::internal("a sketch is no binary"))?;
        for (row, group) in groups.iter().enumerate() {
            let sketch = &mut self.groups[*group as usize];
            let before = sketch.bytes();
            sketch.merge(states.value(row))?;
            self.bytes += sketch.bytes();
            self.bytes -= before;
        }
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let states = self.groups[offset..offset + rows].iter().map(Sketch::encode);
        Ok(vec![Arc::new(BinaryViewArray::from_iter_values(states))])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let counts = self.groups[offset..offset + rows].iter().map(Sketch::count).collect();
        Ok(array_of::<Int64Type>(counts, None, &SqlType::BigInt))
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<Sketch>() + self.hashes.capacity() * 8 + self.bytes
    }
}
