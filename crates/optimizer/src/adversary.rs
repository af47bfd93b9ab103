//! Random decisions instead of the best ones, for tests: whatever the planner may decide, the rows must be the same.
//!
//! Invariant: only what some other sizes or settings would have led to is decided, so every plan is legal; and a decision
//! depends on nothing but the seed, the step and what is decided, so a run can be repeated and a rule that is applied to
//! its own result changes nothing.
//!
//! Each step gets settings of its own: sizes at which rules act are drawn, and some rules are switched off. What no
//! setting decides asks for a number: the side that a join builds, and what is believed of the rows that are joined.

use firesteel_common::{Config, hash};

use crate::optimizer::Optimizer;

/// Draws decisions for one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adversary(u64);

impl Adversary {
    /// The adversary that the settings ask for. It re-plans, so there is none without adaptive execution.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        config.adversarial.filter(|_| config.adaptive).map(Self)
    }

    /// A number below `n` for what `point` names.
    pub(crate) fn below(self, point: &str, n: u64) -> u64 {
        hash::hash_u64(hash::combine(self.0, hash::hash_bytes(point.as_bytes()))) % n.max(1)
    }

    /// What is believed of `rows`: up to a hundred times less or more. Nothing stays nothing.
    pub(crate) fn belief(self, point: &str, rows: f64) -> f64 {
        rows * 10f64.powi(self.below(point, 5) as i32 - 2)
    }

    /// The settings of a step. What the user has asked for with effects on the result, such as a number of partitions,
    /// stays.
    pub(crate) fn settings(self, step: u32, config: &Config) -> Config {
        let own = Self(self.below(&format!("step {step}"), u64::MAX));
        let one_of = |point: &str, choices: &[u64]| choices[own.below(point, choices.len() as u64) as usize];
        let is = |point: &str| own.below(point, 2) == 0;
        let limit = |point: &str| one_of(point, &[0, 64, 1 << 10, 16 << 10, 1 << 40]) as i64;
        let mut excluded = config.adaptive_excluded_rules.clone();
        let off = Optimizer::ADAPTIVE_RULES.iter().filter(|rule| own.below(&format!("without {rule}"), 4) == 0);
        excluded.extend(off.map(|rule| (*rule).to_owned()));
        let partitions = one_of("partitions", &[0, 1, 2, 3, 7, 16, 33]) as u32;
        Config {
            adversarial: Some(own.0),
            force_adaptive: is("force"),
            broadcast_threshold: Some(limit("broadcast")),
            adaptive_broadcast_threshold: Some(limit("adaptive broadcast")),
            shuffle_partitions: config.shuffle_partitions.or((partitions > 0).then_some(partitions)),
            advisory_partition_bytes: Some(one_of("advisory", &[1, 100, 4 << 10, 64 << 20]))
                .filter(|_| own.below("automatic", 4) > 0),
            coalesce_partitions: is("coalesce"),
            min_partition_bytes: Some(one_of("smallest", &[1, 100, 1 << 20])),
            parallelism_first: is("parallelism"),
            skew_join: own.below("skew", 4) > 0,
            skew_factor: [0.1, 1.0, 2.0][own.below("factor", 3) as usize],
            skew_threshold_bytes: one_of("threshold", &[1, 100, 1 << 20]),
            adaptive_excluded_rules: excluded,
            ..config.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_differ_and_can_be_repeated() {
        let config = Config { adversarial: Some(7), ..Config::default() };
        let adversary = Adversary::of(&config).unwrap();
        let steps: Vec<Config> = (0..50).map(|step| adversary.settings(step, &config)).collect();
        assert_eq!(steps[3], adversary.settings(3, &config));
        assert!(steps.windows(2).all(|pair| pair[0] != pair[1]));
        let of = |f: fn(&Config) -> bool| steps.iter().filter(|c| f(c)).count();
        assert!((10..40).contains(&of(|c| c.force_adaptive)));
        assert!((2..30).contains(&of(|c| c.shuffle_partitions == Some(1))));
        assert!(of(|c| c.is_excluded_adaptively("HoldBackProbeSide")) > 5);
        let sides: u64 = steps.iter().filter_map(Adversary::of).map(|own| own.below("join", 2)).sum();
        assert!((10..40).contains(&sides), "{sides}");
    }

    #[test]
    fn what_the_user_asks_for_stays() {
        let config = Config {
            adversarial: Some(7),
            shuffle_partitions: Some(5),
            ansi: false,
            batch_rows: 3,
            ..Config::default()
        };
        let step = Adversary::of(&config).unwrap().settings(1, &config);
        assert_eq!((step.shuffle_partitions, step.ansi, step.batch_rows), (Some(5), false, 3));
        assert!(Adversary::of(&Config { adaptive: false, ..config }).is_none());
        assert!(Adversary::of(&Config::default()).is_none());
    }
}
