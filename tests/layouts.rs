//! A real node in its layouts, and with every ring of two slots: whatever can be full is full all the
//! time, and still each command is answered once, and the journal gives the same state again.

use crate::support::{Lines, SMALLEST, Served, dir, good, outcry, wait};

fn every_command_is_answered(layout: &str, policy: &str, extra: &[&str]) {
    let dir = dir();
    let layout_setting = format!("threads.layout={layout}");
    let policy_setting = format!("ack.policy={policy}");
    let settings = [&[layout_setting.as_str(), policy_setting.as_str()], SMALLEST, extra].concat();
    let args: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
    let node = Served::start(dir.path(), &args);
    assert_eq!(node.ready["layout"], layout);
    let load = ["load", "--connections", "8", "--window", "32", "--commands", "1000"];
    let loaded = good(dir.path(), &load);
    assert_eq!((&loaded["sent"], &loaded["acknowledged"]), (&1000.into(), &1000.into()));
    let stopped = node.stop();
    let replayed = good(dir.path(), &["replay"]);
    assert_eq!(replayed["state_hash"], stopped["state_hash"], "{layout}, {policy}");
    assert_eq!(replayed["sequence"], stopped["sequence"], "{layout}, {policy}");
    assert_eq!(good(dir.path(), &["journal", "verify"])["ok"], true);
}

#[test]
fn the_smallest_rings_lose_nothing_in_the_compact_layout() {
    every_command_is_answered("compact", "disk", &[]);
    every_command_is_answered("compact", "memory", &[]);
}

#[test]
fn the_smallest_rings_lose_nothing_in_the_dedicated_layout() {
    every_command_is_answered("dedicated", "disk", &[]);
    every_command_is_answered("dedicated", "memory", &["threads.idle.hot=yield"]);
}

#[test]
fn several_gateways_with_the_smallest_rings_lose_nothing() {
    for layout in ["compact", "dedicated"] {
        for threads in ["gateway.threads=2", "gateway.threads=4"] {
            every_command_is_answered(layout, "disk", &[threads]);
            every_command_is_answered(layout, "memory", &[threads]);
        }
    }
}

#[test]
fn queues_of_two_say_busy_and_still_answer_everybody() {
    let dir = dir();
    let settings = [SMALLEST, &["sequencer.queues.normal=2", "threads.layout=dedicated"]].concat();
    let args: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
    let node = Served::start(dir.path(), &args);
    let load = ["load", "--connections", "8", "--window", "64", "--commands", "1000"];
    let loaded = good(dir.path(), &load);
    let busy = loaded["rejected"]["Busy"].as_u64().expect("the queues were full");
    assert_eq!(loaded["sent"], 1000);
    assert_eq!(loaded["acknowledged"].as_u64().expect("a number") + busy, 1000);
    let stopped = node.stop();
    assert_eq!(good(dir.path(), &["replay"])["state_hash"], stopped["state_hash"]);
}

#[test]
fn few_descriptors_are_told_and_leave_enough_for_the_journal() {
    let dir = dir();
    let script = "ulimit -n 600; exec \"$0\" serve --json --set gateway.native.listen=127.0.0.1:0";
    let log = std::fs::File::create(dir.path().join("serve.log")).expect("a writable directory");
    let mut node = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_outcry")])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("a shell");
    let ready = Lines::of(&mut node).next().expect("it serves");
    let address = ready["native"].as_str().expect("an address").to_owned();
    // More than it can have descriptors for, and it still takes orders from who was first.
    let load = ["load", "--connections", "8", "--window", "8", "--commands", "400"];
    let crowd: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(&address)).collect();
    let crowded = outcry(dir.path(), &[&load[..], &["--json"]].concat());
    assert!(matches!(crowded.status.code(), Some(0 | 3)), "it serves or refuses");
    drop(crowd);
    let pid = node.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
    assert_eq!(wait(&mut node), 0, "it never stopped by itself");
    let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("a log");
    assert!(log.contains("ulimit -n"), "{log}");
}

#[test]
fn a_core_that_does_not_exist_is_warned_of_and_the_node_serves() {
    let dir = dir();
    let node = Served::start(dir.path(), &["--set", "threads.core.batch=999"]);
    let load = ["load", "--connections", "1", "--window", "1", "--commands", "10"];
    assert_eq!(good(dir.path(), &load)["acknowledged"], 10);
    // It runs where the process may, as if no core had been named.
    let found = threads(node.pid());
    assert_eq!(cores_of(&found, "batch"), cores_of(&found, "outcry"), "{found:?}");
    node.stop();
    let log = std::fs::read_to_string(dir.path().join("serve.log")).expect("a log");
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("999"));
    assert!(warned, "{log}");
}

/// Names of a node's threads and the cores that each may run on, as the system tells them.
fn threads(pid: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    // A thread that ends meanwhile is none any more.
    let told = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some((name, allowed.trim().to_owned()))
    });
    told.collect()
}

/// The cores that the thread of a name may run on.
fn cores_of(threads: &[(String, String)], name: &str) -> String {
    let found: Vec<_> = threads.iter().filter(|(thread, _)| thread == name).collect();
    assert_eq!(found.len(), 1, "one thread {name} in {threads:?}");
    found[0].1.clone()
}

const COMPACT: &[&str] = &["critical", "normal", "batch", "helper", "segments", "verify"];
const DEDICATED: &[&str] = &[
    "gateway",
    "sequencer",
    "journal",
    "critical",
    "normal",
    "batch",
    "helper",
    "segments",
    "verify",
];

#[test]
fn each_thread_has_its_name_and_its_core_in_both_layouts() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("one core: no thread is pinned to a core of its own");
        return;
    }
    for (layout, names) in [("compact", COMPACT), ("dedicated", DEDICATED)] {
        let dir = dir();
        let mut settings = vec![format!("threads.layout={layout}")];
        // The other way round than it is without being told.
        let core = |at: usize| (at + 1) % 2;
        let pins = names.iter().enumerate();
        settings.extend(pins.map(|(at, name)| format!("threads.core.{name}={}", core(at))));
        let args: Vec<&str> = settings.iter().flat_map(|s| ["--set", s.as_str()]).collect();
        let node = Served::start(dir.path(), &args);
        // A thread names and pins itself when it first runs.
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        let placed = |found: &[(String, String)], at: usize, name: &str| {
            found.iter().any(|(thread, cores)| thread == name && *cores == core(at).to_string())
        };
        let found = loop {
            let found = threads(node.pid());
            let all = names.iter().enumerate().all(|(at, name)| placed(&found, at, name));
            if all || std::time::Instant::now() > deadline {
                break found;
            }
            std::thread::yield_now();
        };
        for (at, name) in names.iter().enumerate() {
            assert_eq!(cores_of(&found, name), core(at).to_string(), "{layout}: {name}");
        }
        let others = DEDICATED.iter().filter(|name| !names.contains(name));
        for name in others {
            assert!(found.iter().all(|(thread, _)| thread != name), "{layout}: {found:?}");
        }
        node.stop();
    }
}
