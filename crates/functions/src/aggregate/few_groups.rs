//! Sums and counts of a batch by group, where groups are few.
//!
//! Neighbouring rows are often in the same group then, and adding each value to its group's total makes
//! every addition wait until the one before has been stored. Four sets of totals, taken in turn, break
//! that chain; they are added up once per batch.

use num_traits::AsPrimitive;

/// So many groups have their totals on the stack.
const GROUPS: usize = 64;
/// Fewer rows are not worth the clearing of the totals.
const ROWS: usize = 512;
const LANES: usize = 4;

/// Whether [`sums`] and [`counts`] may be used for `rows` rows of `groups` groups, and pay.
pub(super) fn applies(groups: usize, rows: usize) -> bool {
    groups <= GROUPS && rows >= ROWS
}

/// Calls `f` with each of `count` groups that has rows, the sum of its values, and their number. Values are
/// those of at most 64 bits, so that no batch overflows the sum.
#[inline(always)]
pub(super) fn sums<T: AsPrimitive<i128>>(
    count: usize,
    groups: &[u32],
    values: &[T],
    mut f: impl FnMut(usize, i128, i64),
) {
    for (groups, values) in groups.chunks(PACKED_ROWS).zip(values.chunks(PACKED_ROWS)) {
        // All bits that a value has beyond those of a packed one.
        let beyond = |bits: u64, value: &T| bits | (value.as_() as i64).wrapping_add(1 << (VALUE_BITS - 1)) as u64;
        if values.iter().fold(0, beyond) >> VALUE_BITS == 0 {
            packed_sums(count, groups, values, &mut f);
        } else {
            wide_sums(count, groups, values, &mut f);
        }
    }
}

/// Bits of a value that can be summed together with a count.
const VALUE_BITS: u32 = 40;
/// Where the count begins.
const COUNT: u32 = 52;
/// Rows of a lane are fewer than the counts of 12 bits; their sum has 51 bits and a sign.
const PACKED_ROWS: usize = LANES << 11;

/// Sums of small values: one word has the sum in its low bits and the count above, so that a row is one
/// addition.
#[inline(always)]
fn packed_sums<T: AsPrimitive<i128>>(count: usize, groups: &[u32], values: &[T], f: &mut impl FnMut(usize, i128, i64)) {
    let mut totals = [[0i64; GROUPS]; LANES];
    let mut add = |lane: usize, group: u32, value: T| {
        let total = &mut totals[lane][group as usize % GROUPS];
        *total = total.wrapping_add((value.as_() as i64).wrapping_add(1 << COUNT));
    };
    for_lanes(groups, values, &mut add);
    for group in 0..count.min(GROUPS) {
        let (mut sum, mut rows) = (0, 0);
        for total in totals.iter().map(|lane| lane[group]) {
            // A negative sum has borrowed from the count: half of what a sum may be rounds it back.
            let counted = (total.wrapping_add(1 << (COUNT - 1)) as u64) >> COUNT;
            rows += counted as i64;
            sum += total.wrapping_sub((counted << COUNT) as i64);
        }
        if rows > 0 {
            f(group, i128::from(sum), rows);
        }
    }
}

#[inline(always)]
fn wide_sums<T: AsPrimitive<i128>>(count: usize, groups: &[u32], values: &[T], f: &mut impl FnMut(usize, i128, i64)) {
    let mut totals = [[(0i128, 0i64); GROUPS]; LANES];
    let mut add = |lane: usize, group: u32, value: T| {
        let (sum, rows) = &mut totals[lane][group as usize % GROUPS];
        *sum = sum.wrapping_add(value.as_());
        *rows += 1;
    };
    for_lanes(groups, values, &mut add);
    for group in 0..count.min(GROUPS) {
        let each = totals.iter().map(|lane| lane[group]);
        let (sum, rows) = each.fold((0i128, 0), |(sum, rows), (s, r)| (sum.wrapping_add(s), rows + r));
        if rows > 0 {
            f(group, sum, rows);
        }
    }
}

/// Calls `add` with each row, in turn for each lane.
#[inline(always)]
fn for_lanes<T: Copy>(groups: &[u32], values: &[T], add: &mut impl FnMut(usize, u32, T)) {
    let (four_groups, rest) = groups.as_chunks::<LANES>();
    let (four_values, rest_values) = values.as_chunks::<LANES>();
    for (groups, values) in four_groups.iter().zip(four_values) {
        (0..LANES).for_each(|lane| add(lane, groups[lane], values[lane]));
    }
    rest.iter().zip(rest_values).for_each(|(group, value)| add(0, *group, *value));
}

/// Calls `f` with each group that has rows, and their number.
pub(super) fn counts(groups: &[u32], mut f: impl FnMut(usize, i64)) {
    let mut totals = [[0i64; GROUPS]; LANES];
    let four = groups.chunks_exact(LANES);
    four.remainder().iter().for_each(|group| totals[0][*group as usize % GROUPS] += 1);
    for groups in four {
        (0..LANES).for_each(|lane| totals[lane][groups[lane] as usize % GROUPS] += 1);
    }
    for group in 0..GROUPS {
        let rows = totals.iter().map(|lane| lane[group]).sum();
        if rows > 0 {
            f(group, rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: i64 = 1 << (VALUE_BITS - 1);

    #[test]
    fn totals_are_those_of_a_plain_loop() {
        for rows in [0, 1, 5, 511, 4_099, 20_000] {
            check(rows, |row| if row % 3 == 0 { i64::MIN } else { i64::MAX - row });
            check(rows, |row| row - 1_000);
            check(rows, |_| -LIMIT);
            check(rows, |_| LIMIT - 1);
            check(rows, |row| if row == 9_000 { LIMIT } else { -1 });
            check(rows, |_| 0);
        }
    }

    fn check(rows: u32, value: impl Fn(i64) -> i64) {
        for spread in [0, 9] {
            let groups: Vec<u32> = (0..rows).map(|row: u32| row.wrapping_mul(2_654_435_761) % 7 * spread).collect();
            let values: Vec<i64> = (0..rows).map(|row| value(i64::from(row))).collect();
            let mut expected = [(0i128, 0i64); GROUPS];
            for (group, value) in groups.iter().zip(&values) {
                let (sum, rows) = &mut expected[*group as usize];
                *sum += i128::from(*value);
                *rows += 1;
            }
            let mut found = [(0, 0); GROUPS];
            sums(GROUPS, &groups, &values, |group, sum, rows| {
                found[group].0 += sum;
                found[group].1 += rows;
            });
            assert_eq!(found, expected);
            let mut found = [0; GROUPS];
            counts(&groups, |group, rows| found[group] = rows);
            assert_eq!(found, expected.map(|(_, rows)| rows));
        }
    }
}
