//! The queries of TPC-H and their answers. Both are compiled in, so that the binary works from any folder and on
//! machines without the repository.

use crate::failure::Failure;

/// A query of the suite.
#[derive(Debug)]
pub(crate) struct Query {
    /// `q1` to `q22`.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) sql: &'static str,
    /// Rows at scale 0.01, 1 and 10: `|` between cells, a header, NULL as NULL.
    answers: [&'static str; 3],
}

/// Scales whose answers are known. The text of Q11 has the fraction of scale 1 at all of them.
pub(crate) const SCALES: [f64; 3] = [0.01, 1.0, 10.0];

/// A query without known answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// The queries of a folder of `queries`, by name.
macro_rules! texts {
    ($folder:literal: $($name:literal)*) => {
        &[$($crate::suite::Text {
            name: $name,
            sql: include_str!(concat!("../queries/", $folder, "/", $name, ".sql")),
        }),*]
    };
}
pub(crate) use texts;

/// The queries whose name has one of `parts` in it; all if there are none.
pub(crate) fn choose(queries: &[Text], parts: &[String]) -> Result<Vec<Text>, Failure> {
    if let Some(unknown) = parts.iter().find(|part| queries.iter().all(|query| !query.name.contains(part.as_str()))) {
        let names: Vec<&str> = queries.iter().map(|query| query.name).collect();
        return Err(Failure::usage(format!("no such query: {unknown} ({})", names.join(", "))));
    }
    let chosen = |query: &&Text| parts.is_empty() || parts.iter().any(|part| query.name.contains(part.as_str()));
    Ok(queries.iter().filter(chosen).copied().collect())
}

impl Query {
    /// Name and text.
    pub(crate) fn text(&self) -> Text {
        Text { name: self.name, sql: self.sql }
    }

    /// The rows at a scale, if they are known.
    pub(crate) fn answer(&self, scale: f64) -> Option<&'static str> {
        let at = SCALES.iter().position(|s| (s - scale).abs() < 1e-9)?;
        Some(self.answers[at])
    }
}

macro_rules! queries {
    ($($name:literal)*) => {
        /// The 22 queries, in order.
        pub(crate) static QUERIES: &[Query] = &[$(Query {
            name: $name,
            sql: include_str!(concat!("../queries/tpch/", $name, ".sql")),
            answers: [
                include_str!(concat!("../../data/tpch-sf0.01/answers/", $name, ".csv")),
                include_str!(concat!("../answers/tpch_sf1/", $name, ".csv")),
                include_str!(concat!("../answers/tpch_sf10/", $name, ".csv")),
            ],
        }),*];
    };
}

queries! {
    "q1" "q2" "q3" "q4" "q5" "q6" "q7" "q8" "q9" "q10" "q11" "q12" "q13" "q14" "q15" "q16" "q17" "q18" "q19" "q20" "q21" "q22"
}

/// The queries that a selection such as `1,3-5,q7` names, in the order of the suite; all if it is empty.
pub(crate) fn select(selection: &[String]) -> Result<Vec<&'static Query>, Failure> {
    let mut chosen = vec![selection.is_empty(); QUERIES.len()];
    for part in selection.iter().flat_map(|s| s.split(',')).map(str::trim).filter(|p| !p.is_empty() && *p != "all") {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => chosen[from - 1..to].fill(true),
            _ => return Err(Failure::usage(format!("no such query: {part} (q1 to q{})", QUERIES.len()))),
        }
    }
    if !chosen.contains(&true) {
        chosen.fill(true);
    }
    Ok(QUERIES.iter().zip(chosen).filter_map(|(query, chosen)| chosen.then_some(query)).collect())
}

fn number(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.strip_prefix(['q', 'Q']).unwrap_or(text);
    digits.parse().ok().filter(|n| (1..=QUERIES.len()).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let names = |s: &str| -> Vec<&str> { select(&[s.to_owned()]).unwrap().iter().map(|q| q.name).collect() };
        assert_eq!(names("3, q1,20-22"), ["q1", "q3", "q20", "q21", "q22"]);
        assert_eq!(select(&[]).unwrap().len(), 22);
        assert!(select(&["23".to_owned()]).is_err());
        assert!(select(&["5-3".to_owned()]).is_err());
    }
}
