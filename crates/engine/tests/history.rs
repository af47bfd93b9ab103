//! What is remembered of earlier runs: the second run of a query starts with a better plan.

use std::path::Path;
use std::sync::Arc;

use firesteel::query::QueryReport;
use firesteel::{BuildMode, Effect, Result, Session};
use firesteel_plan::{PhysicalOp, PhysicalPlan};
use futures::executor::block_on;

/// No statistics tell that the first HAVING keeps all rows, and the second nearly none.
const QUERY: &str = "SELECT t.tag % 10 AS tag, count(*) AS n FROM events e \
     JOIN (SELECT user_id, tag, max(tag) AS m FROM tags GROUP BY user_id, tag \
           HAVING max(tag) >= 0 AND min(tag) < 100000 AND count(*) < 5) t ON t.user_id = e.user_id \
     JOIN (SELECT event_id, max(reason) AS reason FROM returns GROUP BY event_id \
           HAVING pmod(hash(max(reason), event_id), 2000) < 3) r ON r.event_id = e.id \
     GROUP BY t.tag % 10";

fn tables(folder: &Path, session: &Session, rows: u64) -> Result<()> {
    let make = |name: &str, query: String| {
        let location = folder.join(name).to_string_lossy().into_owned();
        run(session, &format!("CREATE OR REPLACE TABLE {name} USING parquet LOCATION '{location}' AS {query}"))
    };
    make("events", format!("SELECT id, pmod(hash(id), 1000) AS user_id FROM range({rows})"))?;
    make("tags", format!("SELECT pmod(id, 1000) AS user_id, pmod(id, 7) AS tag FROM range({rows} DIV 40)"))?;
    make(
        "returns",
        format!("SELECT id AS event_id, pmod(hash(id, 3), 12) AS reason FROM range({rows}) WHERE id % 5 = 0"),
    )?;
    Ok(())
}

fn views(folder: &Path, session: &Session) -> Result<()> {
    for name in ["events", "tags", "returns"] {
        let path = folder.join(name).to_string_lossy().into_owned();
        run(session, &format!("CREATE OR REPLACE TEMP VIEW {name} USING parquet OPTIONS (path '{path}')"))?;
    }
    Ok(())
}

fn run(session: &Session, sql: &str) -> Result<Option<Arc<QueryReport>>> {
    block_on(async {
        let stream = session.sql(sql).await?.stream()?;
        let handle = stream.handle().clone();
        stream.collect().await?;
        Ok(handle.report())
    })
}

fn session(folder: &Path, history: &Path) -> Result<Session> {
    let builder = Session::builder().config("firesteel.threads", 2);
    let session = builder.config("firesteel.adaptive.history.path", history.to_string_lossy()).build()?;
    views(folder, &session)?;
    Ok(session)
}

/// The joins of a plan from the last to the first: what is compared, and how. Ids differ between sessions. (A side that
/// was written before the first run knew better may be kept there, although the other one is smaller.)
fn joins(plan: Option<&PhysicalPlan>) -> Vec<(String, BuildMode)> {
    let mut all = Vec::new();
    let Some(plan) = plan else { return all };
    plan.visit(&mut |node| {
        if let PhysicalOp::HashJoin(join) = &node.op {
            let without_ids = |text: String| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
            let mut sides = [join.on[0].left.to_string(), join.on[0].right.to_string()].map(without_ids);
            sides.sort();
            all.push((sides.join(" = "), join.mode));
        }
    });
    all
}

#[test]
fn the_second_run_starts_with_the_right_plan() {
    let folder = std::env::temp_dir().join(format!("firesteel-history-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let history = folder.join("history");
    tables(&folder, &Session::builder().build().unwrap(), 40_000).unwrap();

    let one = session(&folder, &history).unwrap();
    let first = run(&one, QUERY).unwrap().unwrap();
    let initial = joins(first.initial_plan.as_ref());
    assert!(first.notes.iter().all(|note| note.effect != Effect::Remembered));
    assert!(history.is_file());

    // Other text and other ids, but the same plan.
    let two = session(&folder, &history).unwrap();
    run(&two, "SELECT 1").unwrap();
    let second = run(&two, &QUERY.replace(" AS n ", "   AS  other_name ")).unwrap().unwrap();
    let remembered = joins(second.initial_plan.as_ref());
    assert_ne!(remembered, initial, "the first plan was a bad one");
    assert_eq!(
        remembered,
        joins(first.final_plan.as_ref()),
        "the second run starts with what the first one ended with"
    );
    assert!(second.notes.iter().any(|note| note.effect == Effect::Remembered), "{:?}", second.notes);

    // A changed file is not trusted.
    tables(&folder, &Session::builder().build().unwrap(), 40_005).unwrap();
    let four = session(&folder, &history).unwrap();
    let fourth = run(&four, QUERY).unwrap().unwrap();
    assert_eq!(joins(fourth.initial_plan.as_ref()), initial);
    assert!(fourth.notes.iter().any(|note| note.because.contains("files have changed")), "{:?}", fourth.notes);

    // What is not understood is ignored, and written anew.
    std::fs::write(&history, "nonsense").unwrap();
    let fifth = run(&session(&folder, &history).unwrap(), QUERY).unwrap().unwrap();
    assert_eq!(joins(fifth.initial_plan.as_ref()), initial);
    let sixth = run(&session(&folder, &history).unwrap(), QUERY).unwrap().unwrap();
    assert_eq!(joins(sixth.initial_plan.as_ref()), remembered);
    std::fs::remove_dir_all(folder).unwrap();
}
