//! Settings. Each is one entry of [`SETTINGS`]: key, default, text, and how it is read and written;
//! `SET`, `SET -v`, the session builder and `docs/config.md` all come from that table.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// How exchanges are realised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeMode {
    /// Chosen by the planner: shared where it can be, else partitioned in memory.
    Auto,
    /// Partitioned in memory also where sharing would do.
    Partitioned,
    /// Partitioned and serialised, as between processes.
    Serialized,
}

/// The settings of a session. Fields hold what the keys of [`SETTINGS`] say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `firesteel.threads`
    pub threads: usize,
    /// `firesteel.memory.limit`, bytes
    pub memory_limit: u64,
    /// `firesteel.batch.rows`
    pub batch_rows: usize,
    /// `firesteel.exchange.mode`
    pub exchange_mode: ExchangeMode,
    /// `firesteel.temp.dir`
    pub temp_dir: String,
    /// `firesteel.explain.width`, characters
    pub explain_width: usize,
    /// `firesteel.adaptive.history.path`; empty is none
    pub history_path: String,
    /// `firesteel.adaptive.force`
    pub force_adaptive: bool,
    /// `firesteel.adaptive.adversarial`, a seed
    pub adversarial: Option<u64>,
    /// `spark.sql.ansi.enabled`
    pub ansi: bool,
    /// `spark.sql.session.timeZone`
    pub time_zone: String,
    /// `spark.sql.caseSensitive`
    pub case_sensitive: bool,
    /// `spark.sql.shuffle.partitions`; unset is automatic
    pub shuffle_partitions: Option<u32>,
    /// `spark.sql.autoBroadcastJoinThreshold`, bytes; unset is automatic, -1 is never
    pub broadcast_threshold: Option<i64>,
    /// `spark.sql.adaptive.enabled`
    pub adaptive: bool,
    /// `spark.sql.adaptive.autoBroadcastJoinThreshold`, bytes
    pub adaptive_broadcast_threshold: Option<i64>,
    /// `spark.sql.adaptive.advisoryPartitionSizeInBytes`; unset is automatic, see [`Config::advisory_bytes`]
    pub advisory_partition_bytes: Option<u64>,
    /// `spark.sql.adaptive.coalescePartitions.enabled`
    pub coalesce_partitions: bool,
    /// `spark.sql.adaptive.coalescePartitions.minPartitionSize`; unset is automatic: what is not worth a task is for the rules to say
    pub min_partition_bytes: Option<u64>,
    /// `spark.sql.adaptive.coalescePartitions.parallelismFirst`
    pub parallelism_first: bool,
    /// `spark.sql.adaptive.coalescePartitions.minPartitionNum`; unset is the number of workers, or 1
    pub coalesce_min_partitions: Option<u32>,
    /// `spark.sql.adaptive.coalescePartitions.initialPartitionNum`; unset is `spark.sql.shuffle.partitions`
    pub coalesce_initial_partitions: Option<u32>,
    /// `spark.sql.adaptive.coalescePartitions.maxReducerPartitionsPerTask`
    pub coalesce_max_per_task: u32,
    /// `spark.sql.adaptive.optimizeSkewsInRebalancePartitions.enabled`
    pub rebalance_skew: bool,
    /// `spark.sql.adaptive.rebalancePartitionsSmallPartitionFactor`
    pub rebalance_small_factor: f64,
    /// `spark.sql.adaptive.localShuffleReader.enabled`
    pub local_reads: bool,
    /// `spark.sql.adaptive.nonEmptyPartitionRatioForBroadcastJoin`
    pub broadcast_non_empty_ratio: f64,
    /// `spark.sql.adaptive.skewJoin.enabled`
    pub skew_join: bool,
    /// `spark.sql.adaptive.skewJoin.skewedPartitionFactor`
    pub skew_factor: f64,
    /// `spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes`
    pub skew_threshold_bytes: u64,
    /// `spark.sql.optimizer.dynamicPartitionPruning.enabled`
    pub dynamic_partition_pruning: bool,
    /// `spark.sql.optimizer.excludedRules`
    pub excluded_rules: Vec<String>,
    /// `spark.sql.adaptive.optimizer.excludedRules`
    pub adaptive_excluded_rules: Vec<String>,
    /// `spark.task.maxFailures`
    pub max_task_failures: u32,
    /// Keys that Spark has and that have no effect here, as they were set.
    pub other: BTreeMap<String, String>,
}

/// One entry of the table of settings.
pub struct Setting {
    /// The key, as `SET` takes it.
    pub key: &'static str,
    /// What it does, in a sentence, with its unit.
    pub doc: &'static str,
    /// Its value as text.
    pub get: fn(&Config) -> String,
    /// Sets it from text.
    pub set: fn(&mut Config, &str) -> Result<()>,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key)
    }
}

macro_rules! settings {
    ($($key:literal, $field:ident, $parse:expr, $show:expr, $doc:literal;)*) => {
        /// All settings, in the order of their keys' groups.
        pub static SETTINGS: &[Setting] = &[$(Setting {
            key: $key,
            doc: $doc,
            get: |config| ($show)(&config.$field),
            set: |config, text| {
                config.$field = ($parse)(text.trim()).ok_or_else(|| invalid($key, text))?;
                Ok(())
            },
        }),*];
    };
}

settings! {
    "firesteel.threads", threads, positive, ToString::to_string,
        "Number of executor workers: tasks that run at the same time.";
    "firesteel.memory.limit", memory_limit, parse_bytes, show_bytes,
        "Bytes that queries of the session may hold together, such as 4g.";
    "firesteel.batch.rows", batch_rows, positive, ToString::to_string,
        "Rows of the batches that operators make.";
    "firesteel.exchange.mode", exchange_mode, parse_mode, show_mode,
        "auto, partitioned (never shared) or serialized (as between processes).";
    "firesteel.temp.dir", temp_dir, |s: &str| Some(s.to_owned()), Clone::clone,
        "Folder for files that queries write for themselves.";
    "firesteel.explain.width", explain_width, |s: &str| s.parse().ok(), ToString::to_string,
        "Characters of a line of EXPLAIN ANALYZE; with enough, it has both plans side by side. The shell sets it to the terminal's.";
    "firesteel.adaptive.history.path", history_path, |s: &str| Some(s.to_owned()), Clone::clone,
        "File in which queries keep the rows they have counted, so that the same query over the same files starts with the right plan; empty is none.";
    "firesteel.adaptive.force", force_adaptive, parse_bool, ToString::to_string,
        "For tests: adaptive rules act on any size, so that tiny inputs exercise them.";
    "firesteel.adaptive.adversarial", adversarial, |s: &str| if s.is_empty() { Some(None) } else { s.parse().ok().map(Some) }, |seed: &Option<u64>| seed.map_or_else(String::new, |seed| seed.to_string()),
        "For tests: a seed for random legal decisions, instead of the best ones, whenever a query is planned; empty is off.";
    "spark.sql.ansi.enabled", ansi, parse_bool, ToString::to_string,
        "When true, overflows and bad casts are errors; otherwise they give NULL or wrap around.";
    "spark.sql.session.timeZone", time_zone, parse_zone, Clone::clone,
        "Time zone in which TIMESTAMP values are read and shown.";
    "spark.sql.caseSensitive", case_sensitive, parse_bool, ToString::to_string,
        "Whether names of columns and tables are compared with case.";
    "spark.sql.shuffle.partitions", shuffle_partitions, |s: &str| auto(s, positive), show_auto,
        "Partitions of hash exchanges; auto follows the number of workers.";
    "spark.sql.autoBroadcastJoinThreshold", broadcast_threshold, |s: &str| auto(s, parse_signed_bytes), show_auto,
        "Greatest build side, in bytes, that is shared by all tasks of a join; auto is a share of the memory limit, -1 never shares.";
    "spark.sql.adaptive.enabled", adaptive, parse_bool, ToString::to_string,
        "Whether the rest of a query is planned again, with exact sizes, when a stage ends.";
    "spark.sql.adaptive.autoBroadcastJoinThreshold", adaptive_broadcast_threshold, |s: &str| auto(s, parse_signed_bytes), show_auto,
        "As spark.sql.autoBroadcastJoinThreshold, for sizes that are known exactly; auto takes that one.";
    "spark.sql.adaptive.advisoryPartitionSizeInBytes", advisory_partition_bytes, |s: &str| auto(s, parse_bytes), |v: &Option<u64>| v.as_ref().map_or_else(|| "auto".to_owned(), show_bytes),
        "Size at which small partitions stop being merged and into which skewed ones are split; auto is 64m, and less where a task keeps what it reads in a table.";
    "spark.sql.adaptive.coalescePartitions.enabled", coalesce_partitions, parse_bool, ToString::to_string,
        "Whether neighbouring small partitions are read by one task.";
    "spark.sql.adaptive.coalescePartitions.minPartitionSize", min_partition_bytes, |s: &str| auto(s, parse_bytes), |v: &Option<u64>| v.as_ref().map_or_else(|| "auto".to_owned(), show_bytes),
        "Merged partitions are at least this large, where there is enough data; auto is 256k, and 1m for what partitions are cut into.";
    "spark.sql.adaptive.coalescePartitions.parallelismFirst", parallelism_first, parse_bool, ToString::to_string,
        "Whether merging stops at one partition per worker rather than at the advisory size.";
    "spark.sql.adaptive.coalescePartitions.minPartitionNum", coalesce_min_partitions, |s: &str| auto(s, positive), show_auto,
        "Least number of merged partitions; auto is the number of workers if parallelism comes first, else 1.";
    "spark.sql.adaptive.coalescePartitions.initialPartitionNum", coalesce_initial_partitions, |s: &str| auto(s, positive), show_auto,
        "Partitions of hash exchanges before small ones are merged; auto is spark.sql.shuffle.partitions.";
    "spark.sql.adaptive.coalescePartitions.maxReducerPartitionsPerTask", coalesce_max_per_task, positive, ToString::to_string,
        "Greatest number of partitions that one task reads after merging.";
    "spark.sql.adaptive.optimizeSkewsInRebalancePartitions.enabled", rebalance_skew, parse_bool, ToString::to_string,
        "Whether partitions of REBALANCE above the advisory size are split.";
    "spark.sql.adaptive.rebalancePartitionsSmallPartitionFactor", rebalance_small_factor, |s: &str| s.parse().ok().filter(|v| (0.0..1.0).contains(v)), ToString::to_string,
        "A split partition's rest below this share of the advisory size belongs to the part before.";
    "spark.sql.adaptive.localShuffleReader.enabled", local_reads, parse_bool, ToString::to_string,
        "Whether tasks take rows of any partition where nobody needs the partitions.";
    "spark.sql.adaptive.nonEmptyPartitionRatioForBroadcastJoin", broadcast_non_empty_ratio, |s: &str| s.parse().ok().filter(|v| *v >= 0.0), ToString::to_string,
        "A join whose sides are partitioned already is not changed to a shared one if fewer of the partitions have rows.";
    "spark.sql.adaptive.skewJoin.enabled", skew_join, parse_bool, ToString::to_string,
        "Whether skewed partitions of a join are split.";
    "spark.sql.adaptive.skewJoin.skewedPartitionFactor", skew_factor, |s: &str| s.parse().ok().filter(|v| *v > 0.0), ToString::to_string,
        "A partition is skewed if it is this many times larger than the median, and larger than the threshold.";
    "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", skew_threshold_bytes, parse_bytes, show_bytes,
        "A partition is skewed only if it is larger than this.";
    "spark.sql.optimizer.dynamicPartitionPruning.enabled", dynamic_partition_pruning, parse_bool, ToString::to_string,
        "Whether files are left out whose partition values find no partner in a join.";
    "spark.sql.optimizer.excludedRules", excluded_rules, parse_list, |v: &Vec<String>| v.join(","),
        "Names of optimizer rules that are not applied, separated by commas.";
    "spark.sql.adaptive.optimizer.excludedRules", adaptive_excluded_rules, parse_list, |v: &Vec<String>| v.join(","),
        "Names of adaptive rules that are not applied, separated by commas.";
    "spark.task.maxFailures", max_task_failures, positive, ToString::to_string,
        "Attempts of a task, after failures that another attempt may cure, before its query fails.";
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit: 4 << 30,
            batch_rows: 8192,
            exchange_mode: ExchangeMode::Auto,
            temp_dir: std::env::temp_dir().to_string_lossy().into_owned(),
            explain_width: 0,
            history_path: String::new(),
            force_adaptive: false,
            adversarial: None,
            ansi: true,
            time_zone: "UTC".to_owned(),
            case_sensitive: false,
            shuffle_partitions: None,
            broadcast_threshold: None,
            adaptive: true,
            adaptive_broadcast_threshold: None,
            advisory_partition_bytes: None,
            coalesce_partitions: true,
            min_partition_bytes: None,
            parallelism_first: true,
            coalesce_min_partitions: None,
            coalesce_initial_partitions: None,
            coalesce_max_per_task: i32::MAX as u32,
            rebalance_skew: true,
            rebalance_small_factor: 0.2,
            local_reads: true,
            broadcast_non_empty_ratio: 0.2,
            skew_join: true,
            skew_factor: 5.0,
            skew_threshold_bytes: 256 << 20,
            dynamic_partition_pruning: true,
            excluded_rules: Vec::new(),
            adaptive_excluded_rules: Vec::new(),
            max_task_failures: 4,
            other: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The entry of a key; keys are compared without case.
    pub fn setting(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|s| s.key.eq_ignore_ascii_case(key))
    }

    /// Sets `key`. Keys of Spark that have no effect here are stored.
    ///
    /// Returns whether the key has an effect. Errors: `INVALID_CONF_VALUE`, and
    /// `INVALID_CONF_KEY` for an own key that does not exist.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        if let Some(setting) = Self::setting(key) {
            (setting.set)(self, value)?;
            return Ok(true);
        }
        if key.starts_with("firesteel.") {
            let near = SETTINGS.iter().filter(|s| s.key.starts_with("firesteel.")).map(|s| s.key);
            return Err(Error::new(
                crate::ErrorKind::Config,
                "INVALID_CONF_KEY",
                "42K0I",
                format!("There is no setting `{key}`."),
            )
            .with_hint(format!("the settings of this prefix are {}", near.collect::<Vec<_>>().join(", "))));
        }
        self.other.insert(key.to_owned(), value.to_owned());
        Ok(false)
    }

    /// The value of `key` as text, if it is a setting or was set.
    pub fn get(&self, key: &str) -> Option<String> {
        match Self::setting(key) {
            Some(setting) => Some((setting.get)(self)),
            None => self.other.get(key).cloned(),
        }
    }

    /// Gives `key` its default again.
    pub fn reset(&mut self, key: &str) -> Result<()> {
        match Self::setting(key) {
            Some(setting) => (setting.set)(self, &(setting.get)(&Config::default())),
            None => {
                self.other.remove(key);
                Ok(())
            }
        }
    }

    /// Whether the optimizer rule `name` is switched off everywhere.
    pub fn is_excluded(&self, name: &str) -> bool {
        self.excluded_rules.iter().any(|rule| rule.eq_ignore_ascii_case(name))
    }

    /// Whether the rule `name` is switched off where the rest of a query is planned again.
    pub fn is_excluded_adaptively(&self, name: &str) -> bool {
        self.is_excluded(name) || self.adaptive_excluded_rules.iter().any(|rule| rule.eq_ignore_ascii_case(name))
    }

    /// What each worker may hold of rows and tables, if all hold so much at once: half of the memory.
    pub fn held_bytes(&self) -> u64 {
        (self.memory_limit / (2 * self.threads.max(1) as u64)).max(1)
    }

    /// Bytes that a task should read if nothing speaks for less: 64 MiB unless set, as in Spark.
    pub fn advisory_bytes(&self) -> u64 {
        self.advisory_partition_bytes.unwrap_or(64 << 20)
    }

    /// Greatest shared build side in bytes: for estimates, or for exact sizes.
    pub fn broadcast_limit(&self, exact: bool) -> u64 {
        let own = if exact { self.adaptive_broadcast_threshold } else { None };
        match own.or(self.broadcast_threshold) {
            Some(bytes) => u64::try_from(bytes).unwrap_or(0),
            None => self.memory_limit / 4,
        }
    }

    /// Partitions of a hash exchange: four per worker and at least 16, a power of two, unless set.
    pub fn hash_partitions(&self) -> u32 {
        let initial = self.coalesce_initial_partitions.filter(|_| self.adaptive && self.coalesce_partitions);
        initial.or(self.shuffle_partitions).unwrap_or_else(|| (4 * self.threads as u32).next_power_of_two().max(16))
    }
}

fn invalid(key: &str, value: &str) -> Error {
    let doc = Config::setting(key).map_or("", |s| s.doc);
    Error::config(format!("The value '{value}' in the config \"{key}\" is invalid.")).with_hint(doc)
}

fn positive<T: std::str::FromStr + PartialOrd + Default>(text: &str) -> Option<T> {
    text.parse().ok().filter(|value| *value > T::default())
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" => Some(true),
        "false" | "0" | "off" => Some(false),
        _ => None,
    }
}

fn parse_zone(text: &str) -> Option<String> {
    let zone = text.trim_matches(['\'', '"']);
    (!zone.is_empty()).then(|| zone.to_owned())
}

fn parse_list(text: &str) -> Option<Vec<String>> {
    Some(text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect())
}

fn parse_mode(text: &str) -> Option<ExchangeMode> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Some(ExchangeMode::Auto),
        "partitioned" => Some(ExchangeMode::Partitioned),
        "serialized" | "serialised" => Some(ExchangeMode::Serialized),
        _ => None,
    }
}

fn show_mode(mode: &ExchangeMode) -> String {
    format!("{mode:?}").to_ascii_lowercase()
}

fn auto<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.eq_ignore_ascii_case("auto") { Some(None) } else { parse(text).map(Some) }
}

fn show_auto<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "auto".to_owned(), T::to_string)
}

/// Bytes from text such as `512`, `64MB`, `4g`, `1.5GiB`; units are powers of 1024.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    let value: f64 = number.parse().ok()?;
    Some((value * (1u64 << shift) as f64) as u64)
}

fn parse_signed_bytes(text: &str) -> Option<i64> {
    if text.starts_with('-') { text.parse().ok() } else { parse_bytes(text).and_then(|v| i64::try_from(v).ok()) }
}

fn show_bytes(bytes: &u64) -> String {
    [(40, "t"), (30, "g"), (20, "m"), (10, "k")]
        .into_iter()
        .find(|(shift, _)| *bytes > 0 && bytes.is_multiple_of(1u64 << shift))
        .map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_text_and_takes_its_own_default() {
        let mut config = Config::default();
        for setting in SETTINGS {
            assert!(setting.doc.ends_with('.'), "{}", setting.key);
            let value = (setting.get)(&config);
            (setting.set)(&mut config, &value).unwrap();
            assert_eq!((setting.get)(&config), value, "{}", setting.key);
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn bytes() {
        assert_eq!(parse_bytes("64MB"), Some(64 << 20));
        assert_eq!(parse_bytes("1.5g"), Some(3 << 29));
        assert_eq!(parse_bytes("10b"), Some(10));
        assert_eq!(parse_bytes("x"), None);
        assert_eq!(show_bytes(&(64 << 20)), "64m");
    }

    #[test]
    fn wrong_values_and_keys_are_errors() {
        let mut config = Config::default();
        assert_eq!(config.set("firesteel.threads", "0").unwrap_err().condition(), "INVALID_CONF_VALUE");
        assert_eq!(config.set("firesteel.nope", "0").unwrap_err().condition(), "INVALID_CONF_KEY");
        assert!(!config.set("spark.app.name", "x").unwrap());
        assert_eq!(config.get("spark.app.name").as_deref(), Some("x"));
    }
}
