//! What a hint makes of a join, in Spark's order: BROADCAST, MERGE, SHUFFLE_HASH, SHUFFLE_REPLICATE_NL.
//!
//! Where both sides ask for the same, the smaller one is kept. A side that the kind of the join forbids
//! to keep is passed over, and with it the hint; then sizes decide.

use firesteel_expr::Expr;
use firesteel_plan::{Estimate, JoinHint, JoinKind, JoinStrategy, Side};

use super::join::Parts;
use crate::util::key_predicate;

/// How a join is to be done, as far as the hint says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All tasks see this side.
    Shared(Side),
    /// Both sides are partitioned; perhaps it is said which one is kept.
    Partitioned(Option<Side>),
    /// All pairs are tried.
    Pairs,
}

/// What is asked for and allowed, and the hint that it comes from.
pub(super) fn asked(join: &Parts<'_>, hint: JoinHint, sizes: [Estimate; 2]) -> Option<(JoinStrategy, Asked)> {
    if hint == JoinHint::NONE || join.null_aware {
        return None;
    }
    let keys = !join.on.is_empty();
    let build = |strategy: JoinStrategy| {
        let of = |side| hint.of(side) == Some(strategy) && strategy.may_build(join.kind, side);
        match (of(Side::Left), of(Side::Right)) {
            (true, true) if sizes[0].bytes <= sizes[1].bytes => Some(Side::Left),
            (_, true) => Some(Side::Right),
            (true, false) => Some(Side::Left),
            (false, false) => None,
        }
    };
    let choice = |strategy| match strategy {
        JoinStrategy::Broadcast => build(strategy).map(Asked::Shared),
        JoinStrategy::ShuffleMerge => (keys && hint.asks(strategy)).then_some(Asked::Partitioned(None)),
        JoinStrategy::ShuffleHash => build(strategy).filter(|_| keys).map(|side| Asked::Partitioned(Some(side))),
        JoinStrategy::ShuffleReplicateNl => {
            (hint.asks(strategy) && *join.kind == JoinKind::Inner).then_some(Asked::Pairs)
        }
    };
    let order = [
        JoinStrategy::Broadcast,
        JoinStrategy::ShuffleMerge,
        JoinStrategy::ShuffleHash,
        JoinStrategy::ShuffleReplicateNl,
    ];
    order.into_iter().find_map(|strategy| Some((strategy, choice(strategy)?)))
}

/// The whole condition of a join, keys and all; nothing for a cross join.
pub(super) fn condition(join: &Parts<'_>) -> Option<Expr> {
    let all: Vec<Expr> = join.on.iter().cloned().map(key_predicate).chain(join.residual.cloned()).collect();
    (!all.is_empty()).then(|| Expr::and(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use firesteel_common::Scalar;
    use firesteel_plan::JoinKey;

    const BROADCAST: Option<JoinStrategy> = Some(JoinStrategy::Broadcast);
    const HASH: Option<JoinStrategy> = Some(JoinStrategy::ShuffleHash);
    const PAIRS: Option<JoinStrategy> = Some(JoinStrategy::ShuffleReplicateNl);

    fn of(kind: JoinKind, left: Option<JoinStrategy>, right: Option<JoinStrategy>, keys: bool) -> Option<Asked> {
        let one = Expr::Literal(Scalar::Int(1));
        let key = JoinKey { left: one.clone(), right: one, null_safe: false };
        let on: &[JoinKey] = if keys { &[key] } else { &[] };
        let join = Parts { kind: &kind, on, residual: None, null_aware: false };
        let size = |bytes| Estimate { bytes, ..Estimate::default() };
        asked(&join, JoinHint { left, right }, [size(1.0), size(2.0)]).map(|(_, asked)| asked)
    }

    #[test]
    fn a_side_is_kept_where_the_kind_of_the_join_allows_it() {
        assert_eq!(of(JoinKind::Left, None, BROADCAST, true), Some(Asked::Shared(Side::Right)));
        assert_eq!(of(JoinKind::Left, BROADCAST, None, true), None);
        assert_eq!(of(JoinKind::Full, BROADCAST, BROADCAST, true), None);
        assert_eq!(of(JoinKind::Full, HASH, None, true), Some(Asked::Partitioned(Some(Side::Left))));
        assert_eq!(of(JoinKind::LeftSemi, HASH, None, true), None);
        assert_eq!(of(JoinKind::Inner, BROADCAST, BROADCAST, true), Some(Asked::Shared(Side::Left)));
    }

    #[test]
    fn the_stronger_hint_wins_and_keys_are_needed_to_partition() {
        assert_eq!(of(JoinKind::Inner, HASH, BROADCAST, true), Some(Asked::Shared(Side::Right)));
        assert_eq!(of(JoinKind::Left, BROADCAST, HASH, true), Some(Asked::Partitioned(Some(Side::Right))));
        assert_eq!(of(JoinKind::Inner, HASH, None, false), None);
        assert_eq!(of(JoinKind::Inner, None, PAIRS, true), Some(Asked::Pairs));
        assert_eq!(of(JoinKind::Left, None, PAIRS, true), None);
    }
}
