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

/// Calls `f` with each group that has rows, the sum of its values, and their number. Values are those of
/// at most 64 bits, so that no batch overflows the sum.
#[inline(always)]
pub(super) fn sums<T: AsPrimitive<i128>>(groups: &[u32], values: &[T], mut f: impl FnMut(usize, i128, i64)) {
    let mut totals = [[(0i128, 0i64); GROUPS]; LANES];
    let (four_groups, four_values) = (groups.chunks_exact(LANES), values.chunks_exact(LANES));
    let rest = four_groups.remainder().iter().zip(four_values.remainder());
    let mut add = |lane: usize, group: u32, value: T| {
        let (sum, rows) = &mut totals[lane][group as usize % GROUPS];
        *sum = sum.wrapping_add(value.as_());
        *rows += 1;
    };
    rest.for_each(|(group, value)| add(0, *group, *value));
    for (groups, values) in four_groups.zip(four_values) {
        (0..LANES).for_each(|lane| add(lane, groups[lane], values[lane]));
    }
    for group in 0..GROUPS {
        let each = totals.iter().map(|lane| lane[group]);
        let (sum, rows) = each.fold((0i128, 0), |(sum, rows), (s, r)| (sum.wrapping_add(s), rows + r));
        if rows > 0 {
            f(group, sum, rows);
        }
    }
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

    #[test]
    fn totals_are_those_of_a_plain_loop() {
        for rows in [0, 1, 5, 511, 4_099] {
            let groups: Vec<u32> = (0..rows).map(|row: u32| row.wrapping_mul(2_654_435_761) % 7 * 9).collect();
            let values: Vec<i64> =
                (0..rows).map(|row| if row % 3 == 0 { i64::MIN } else { i64::MAX - i64::from(row) }).collect();
            let mut expected = [(0i128, 0i64); GROUPS];
            for (group, value) in groups.iter().zip(&values) {
                let (sum, rows) = &mut expected[*group as usize];
                *sum += i128::from(*value);
                *rows += 1;
            }
            let mut found = [(0, 0); GROUPS];
            sums(&groups, &values, |group, sum, rows| found[group] = (sum, rows));
            assert_eq!(found, expected);
            let mut found = [0; GROUPS];
            counts(&groups, |group, rows| found[group] = rows);
            assert_eq!(found, expected.map(|(_, rows)| rows));
        }
    }
}
