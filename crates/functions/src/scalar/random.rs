//! `rand` and `randn`: the same numbers for a seed as Spark's, which are those of its `XORShiftRandom`.
//!
//! The generator lives as long as the kernel, which is made once per task, so that the numbers of a task go on from
//! batch to batch. Every task begins as Spark's first partition does.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::Float64Array;
use firesteel_common::{Result, Scalar, SqlType};
use firesteel_expr::{Datum, EvalContext, FunctionDoc, FunctionRegistry, ScalarFunction, ScalarKernel, Signature};

use crate::hash::murmur3_bytes;

struct Rand {
    doc: FunctionDoc,
    next: fn(&mut Generator) -> f64,
}

/// Registers both functions.
pub(super) fn register(registry: &mut FunctionRegistry) {
    registry.register_scalar(Arc::new(Rand {
        doc: FunctionDoc {
            name: "rand",
            aliases: &["random"],
            category: "math",
            syntax: "rand([seed])",
            description: "Returns random numbers that are uniform in [0, 1); with a seed, the same ones in each query.",
            examples: &[("SELECT rand(0)", "0.7604953758285915")],
        },
        next: Generator::uniform,
    }));
    registry.register_scalar(Arc::new(Rand {
        doc: FunctionDoc {
            name: "randn",
            aliases: &[],
            category: "math",
            syntax: "randn([seed])",
            description: "Returns random numbers of the standard normal distribution; with a seed, the same ones in \
                          each query.",
            examples: &[("SELECT randn(0)", "1.6034991609278433")],
        },
        next: Generator::normal,
    }));
}

impl ScalarFunction for Rand {
    fn doc(&self) -> &FunctionDoc {
        &self.doc
    }

    fn bind(&self, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
        let signature = super::fixed(self.doc.name, args, &[SqlType::BigInt], 0, &SqlType::Double)?;
        Ok(Signature { may_be_null: false, ..signature })
    }

    fn kernel(
        &self,
        _: &[SqlType],
        _: &SqlType,
        literals: &[Option<Scalar>],
        _: &EvalContext,
    ) -> Result<Box<dyn ScalarKernel>> {
        let seed = match literals.first() {
            Some(literal) => literal.as_ref().and_then(Scalar::as_i64).unwrap_or(0),
            None => RandomState::new().hash_one(0u8) as i64,
        };
        Ok(Box::new(Kernel { generator: Mutex::new(Generator::new(seed)), next: self.next }))
    }

    fn is_deterministic(&self) -> bool {
        false
    }

    fn handles_null(&self) -> bool {
        true
    }

    fn is_fallible(&self) -> bool {
        false
    }
}

struct Kernel {
    generator: Mutex<Generator>,
    next: fn(&mut Generator) -> f64,
}

impl ScalarKernel for Kernel {
    fn eval(&self, _: &[Datum], rows: usize) -> Result<Datum> {
        let mut generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = (0..rows).map(|_| (self.next)(&mut generator));
        Ok(Datum::Array(Arc::new(Float64Array::from_iter_values(numbers))))
    }
}

struct Generator {
    state: u64,
    /// The second of two normal numbers that were made together.
    spare: Option<f64>,
}

impl Generator {
    /// The seed is spread over all bits by hashing it twice.
    fn new(seed: i64) -> Self {
        const FIRST_SEED: u32 = 0x3c07_4a61;
        let bytes = seed.to_be_bytes();
        let low = murmur3_bytes(&bytes, FIRST_SEED);
        let high = murmur3_bytes(&bytes, low);
        Self { state: u64::from(high) << 32 | u64::from(low), spare: None }
    }

    fn bits(&mut self, count: u32) -> u64 {
        let mut next = self.state ^ (self.state << 21);
        next ^= next >> 35;
        next ^= next << 4;
        self.state = next;
        next & ((1 << count) - 1)
    }

    fn uniform(&mut self) -> f64 {
        let high = self.bits(26) << 27;
        (high + self.bits(27)) as f64 / (1u64 << 53) as f64
    }

    /// Marsaglia's polar method, as in Java.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = x * x + y * y;
            if s < 1.0 && s != 0.0 {
                let factor = (-2.0 * s.ln() / s).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_sparks() {
        let mut seven = Generator::new(7);
        let numbers: Vec<f64> = (0..3).map(|_| seven.uniform()).collect();
        assert_eq!(numbers, [0.28188121484885875, 0.45998819035056326, 0.7690971666031955]);
        assert_eq!(Generator::new(42).uniform(), 0.619189370225301);
        assert_eq!(Generator::new(0).normal(), 1.6034991609278433);
    }
}
