//! The configuration as a user meets it: the shipped file, the order of its sources, and what each
//! mistake is told.

use openoutcry::config::{
    AckPolicy, Config, ConfigError, Core, Key, Loaded, Rule, Sources, keys, load,
};
use std::path::PathBuf;
use tempfile::TempDir;
use toml::{Table, Value};

const SHIPPED: &str = include_str!("../config.toml");

fn sources() -> Sources {
    // A data directory with nothing beside it, so that no file of the machine takes part.
    Sources { data_dir: Some("/nonexistent/journal".into()), ..Sources::default() }
}

fn with_set(set: &[&str]) -> Result<Loaded, ConfigError> {
    load(&Sources { set: set.iter().map(|text| (*text).to_owned()).collect(), ..sources() })
}

fn with_env(env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Sources { env, ..sources() })
}

fn with_file(text: &str) -> Result<Loaded, ConfigError> {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("some.toml");
    std::fs::write(&file, text).expect("a file is written");
    load(&Sources { file: Some(file), ..sources() })
}

fn value(loaded: &Loaded, key: &str) -> Value {
    let row = loaded.rows().into_iter().find(|row| row.key == key);
    row.unwrap_or_else(|| panic!("no row {key}")).value
}

fn origin(loaded: &Loaded, key: &str) -> String {
    let row = loaded.rows().into_iter().find(|row| row.key == key);
    row.unwrap_or_else(|| panic!("no row {key}")).origin
}

#[test]
fn the_shipped_file_is_the_built_in_defaults() {
    let shipped: Config = toml::from_str(SHIPPED).expect("config.toml is a configuration");
    assert_eq!(shipped, Config::default());
    let loaded = with_file(SHIPPED).expect("config.toml passes every rule");
    let mut config = loaded.config;
    config.node.data_dir = Config::default().node.data_dir;
    assert_eq!(config, Config::default());
}

#[test]
fn the_shipped_file_mentions_every_key_in_flow_order() {
    let lines: Vec<&str> = SHIPPED.lines().map(|line| line.trim_start_matches("# ")).collect();
    let mut last_section = 0;
    for key in keys() {
        let (section, name) = key.path.rsplit_once('.').expect("keys stand in sections");
        let in_list = section.ends_with(".*");
        let section = section.trim_end_matches(".*");
        if section.contains('*') || matches!(key.rule, Rule::List) {
            assert!(
                SHIPPED.contains(&format!("{name} = ")) || SHIPPED.contains(&format!(".{name}]]"))
            );
            continue;
        }
        let header = if in_list { format!("[[{section}]]") } else { format!("[{section}]") };
        let at = lines.iter().position(|line| *line == header);
        let at = at.unwrap_or_else(|| panic!("config.toml lacks {header}"));
        assert!(at >= last_section, "{header} does not stand in flow order");
        last_section = at;
        let body =
            lines[at + 1..].iter().take_while(|line| !line.starts_with('[') || line.contains('='));
        let assigned = format!("{name} = ");
        let alternative = format!("({name} = ");
        let found =
            body.clone().any(|line| line.starts_with(&assigned)) || SHIPPED.contains(&alternative);
        assert!(found, "config.toml lacks {name} below {header}");
    }
}

/// A value that breaks the rule of a key by its type, and one by its range if there is such a thing.
fn breaks(key: &Key) -> Vec<Value> {
    let text = |text: &str| Value::String(text.into());
    match key.rule {
        Rule::Integer { min, max }
        | Rule::Multiple { min, max, .. }
        | Rule::PowerOfTwo { min, max } => {
            let mut values = vec![text("7"), Value::Boolean(true), Value::Integer(min - 1)];
            values.extend(max.checked_add(1).map(Value::Integer));
            values
        }
        Rule::Bool => vec![text("true"), Value::Integer(1)],
        Rule::Core => vec![text("all"), Value::Integer(-1), Value::Integer(1024)],
        Rule::List => vec![text("none"), Value::Integer(1), Value::Array(vec![Value::Integer(1)])],
        Rule::Symbols => vec![text("BTC"), Value::Array(vec![text("a b")])],
        Rule::Accounts => vec![Value::Integer(2), Value::Array(vec![Value::Integer(1)])],
        Rule::Decimal => vec![Value::Float(0.5), text("0"), text("-1"), text("1e3"), text("")],
        Rule::Path => vec![Value::Integer(1), text("")],
        Rule::Name | Rule::Symbol => {
            vec![Value::Integer(1), text(""), text("a b"), text(&"x".repeat(65))]
        }
        Rule::PublicKey => vec![Value::Integer(1), text("ab"), text(&"g".repeat(64))],
        Rule::Words { .. } | Rule::Listen | Rule::ListenOff(_) => {
            vec![Value::Integer(1), text(""), text("nonsense")]
        }
    }
}

/// Every place in the shipped file's values where a key stands, with its path.
fn places() -> Vec<(String, &'static Key)> {
    let mut places = Vec::new();
    for key in keys() {
        let path = key.path.replace('*', "0");
        places.push((path, key));
    }
    places
}

/// The shipped file with a key entry, so that every key has a place.
fn full() -> Table {
    let mut table: Table = SHIPPED.parse().expect("config.toml is TOML");
    let keys: Table = "keys = [{ public_key = \"\", role = \"operator\", accounts = [2] }]"
        .replace("\"\"", &format!("\"{}\"", "ab".repeat(32)))
        .parse()
        .expect("TOML");
    let genesis = table["genesis"].as_table_mut().expect("a section");
    genesis.insert("keys".into(), keys["keys"].clone());
    table
}

/// The table in which the last segment of a path stands.
fn parent<'a>(table: &'a mut Table, path: &str) -> &'a mut Table {
    let (section, _) = path.rsplit_once('.').expect("keys stand in sections");
    let mut at = table;
    let mut segments = section.split('.');
    while let Some(segment) = segments.next() {
        at = match at.get_mut(segment).unwrap_or_else(|| panic!("{path} has no place")) {
            Value::Table(inner) => inner,
            Value::Array(list) => {
                let index: usize = segments.next().expect("an index").parse().expect("a number");
                list[index].as_table_mut().expect("a table")
            }
            other => panic!("{other} is no section"),
        };
    }
    at
}

fn refusal_of(table: &Table) -> String {
    let text = toml::to_string(table).expect("a table is TOML");
    with_file(&text).expect_err("one key is wrong").to_string()
}

#[test]
fn every_key_made_wrong_in_turn_is_named_with_its_remedy() {
    let mut count = 0;
    for (path, key) in places() {
        for wrong in breaks(key) {
            let mut table = full();
            let name = path.rsplit('.').next().expect("a name");
            parent(&mut table, &path).insert(name.into(), wrong.clone());
            let message = refusal_of(&table);
            assert!(message.starts_with(&format!("{path}: ")), "{path} = {wrong}: {message}");
            assert!(message.contains("; "), "{path} = {wrong} is told no remedy: {message}");
            assert!(message.contains("some.toml"), "{path} = {wrong} is told no origin: {message}");
            count += 1;
        }
    }
    assert!(count > 200, "only {count} mistakes were tried");
}

#[test]
fn every_key_misspelled_in_turn_is_named_with_the_nearest_key() {
    for (path, key) in places() {
        let mut table = full();
        let name = path.rsplit('.').next().expect("a name").to_owned();
        let misspelled = format!("{name}s_");
        let section = parent(&mut table, &path);
        let value = section.remove(&name).unwrap_or(Value::Integer(3));
        section.insert(misspelled.clone(), value);
        let message = refusal_of(&table);
        let misspelled =
            path.rsplit_once('.').map(|(section, _)| format!("{section}.{misspelled}"));
        let misspelled = misspelled.expect("keys stand in sections");
        assert!(message.starts_with(&format!("{misspelled}: unknown key")), "{path}: {message}");
        let known = format!("did you mean {}?", key.path);
        assert!(message.ends_with(&known), "{path}: {message}");
    }
}

#[test]
fn an_unknown_section_is_named_with_the_nearest() {
    let message = with_file("[gateway.nativ]\n").expect_err("no such section").to_string();
    assert!(message.starts_with("gateway.nativ: unknown key"), "{message}");
    assert!(message.ends_with("did you mean gateway.native?"), "{message}");
    let message = with_file("ack = 1\n").expect_err("a section is no number").to_string();
    assert!(message.starts_with("ack: 1 is not a section"), "{message}");
    let message = with_file("zzzzzzzzzz = 1\n").expect_err("no such key").to_string();
    assert!(message.ends_with("`outcry config show` lists every key"), "{message}");
}

#[test]
fn what_a_later_release_brings_is_refused_by_name() {
    for (set, message) in [
        (
            "gateway.rpc.listen=127.0.0.1:1",
            "gateway.rpc.listen: the RPC listener does not exist in this release; set it to \"off\"",
        ),
        (
            "gateway.fix.listen=0.0.0.0:9878",
            "gateway.fix.listen: the FIX listener does not exist in this release; set it to \"off\"",
        ),
        (
            "ack.policy=standby",
            "ack.policy: the value \"standby\" does not exist in this release; set it to one of \"disk\" or \"memory\"",
        ),
        ("ack.policy=disk+standby", "ack.policy: the value \"disk+standby\" does not exist"),
        ("ack.policy=two-disks", "ack.policy: the value \"two-disks\" does not exist"),
        (
            "replication.peers=[]",
            "replication.peers: the section [replication], which keeps standbys, does not exist in this release; remove it (from --set)",
        ),
        ("kafka.brokers=127.0.0.1:9092", "kafka.brokers: the section [kafka], "),
        ("gateway.tls.key=x.pem", "gateway.tls.key: the section [gateway.tls], "),
    ] {
        let error = with_set(&[set]).expect_err("not in this release");
        assert!(matches!(error, ConfigError::NotInRelease { .. }));
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

#[test]
fn a_section_of_a_later_release_is_refused_by_name_wherever_it_stands() {
    let in_file = |text| with_file(text).expect_err("not in this release");
    let in_env = with_env(&[("OUTCRY_REPLICATION__PEERS", "8")]).expect_err("not either");
    for (error, key, origin) in [
        (in_file("[gateway.tls]\n"), "gateway.tls", "some.toml"),
        (in_file("kafka = true\n"), "kafka", "some.toml"),
        (in_env, "replication.peers", "env OUTCRY_REPLICATION__PEERS"),
    ] {
        assert!(matches!(error, ConfigError::NotInRelease { .. }), "{error}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("{key}: the ")), "{message}");
        assert!(message.contains(" does not exist in this release; remove it (from "), "{message}");
        assert!(message.ends_with(&format!("{origin})")), "{message}");
    }
    // What only begins like one is a key that nobody knows.
    let message = with_set(&["replications.peers=60"]).expect_err("no such key").to_string();
    assert!(message.starts_with("replications.peers: unknown key"), "{message}");
}

#[test]
fn what_is_fixed_by_design_is_no_key() {
    for path in ["time.slew_max_ppm", "time.alarm_difference_ms", "time.refuse_difference_ms"] {
        let message = with_set(&[&format!("{path}=1")]).expect_err("no such key").to_string();
        assert!(message.starts_with(&format!("{path}: unknown key (from --set)")), "{message}");
    }
}

#[test]
fn stronger_sources_win() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("config.toml");
    std::fs::write(
        &file,
        "[journal]\nsegments_ahead = 3\nsync_interval_ms = 30\n[log]\nlevel = \"warn\"\n",
    )
    .expect("a file is written");
    let loaded = load(&Sources {
        file: None,
        data_dir: Some(dir.path().join("data").display().to_string()),
        env: vec![
            ("OUTCRY_JOURNAL__SEGMENTS_AHEAD".into(), "4".into()),
            ("OUTCRY_JOURNAL__SYNC_INTERVAL_MS".into(), "40".into()),
        ],
        set: vec!["journal.segments_ahead=5".into(), "journal.segments_ahead=6".into()],
    })
    .expect("all values are good");
    assert_eq!(loaded.file, Some(file.clone()), "the file beside the data directory is read");
    assert_eq!(loaded.config.journal.segments_ahead, 6);
    assert_eq!(loaded.config.journal.sync_interval_ms, 40);
    assert_eq!(origin(&loaded, "journal.segments_ahead"), "--set");
    assert_eq!(origin(&loaded, "journal.sync_interval_ms"), "env OUTCRY_JOURNAL__SYNC_INTERVAL_MS");
    assert_eq!(origin(&loaded, "log.level"), file.display().to_string());
    assert_eq!(origin(&loaded, "log.format"), "default");
    assert_eq!(origin(&loaded, "node.data_dir"), "--data-dir");
}

#[test]
fn a_file_asked_for_must_be_there_and_be_toml() {
    let missing = Sources { file: Some(PathBuf::from("/nonexistent/x.toml")), ..sources() };
    let message = load(&missing).expect_err("no such file").to_string();
    assert!(message.starts_with("/nonexistent/x.toml: cannot read"), "{message}");
    let message = with_file("[node\nname = 1").expect_err("not TOML").to_string();
    assert!(message.contains("some.toml: not TOML: "), "{message}");
    assert!(message.contains("line 1"), "{message}");
}

#[test]
fn scripts_set_what_they_need() {
    let loaded = with_set(&[
        "gateway.native.listen=127.0.0.1:0",
        "ack.policy=memory",
        "threads.core.critical=1",
        "node.name=42",
        "genesis.assets=[{ symbol = \"A\", scale = 2 }, { symbol = \"B\", scale = 4 }]",
        "genesis.instruments=[{ symbol = \"A-B\", base = \"A\", quote = \"B\", tick = \"0.1\", lot = \"1\", quantity_min = \"1\", quantity_max = \"10\", price_max = \"99\" }]",
        "genesis.accounts=[{ id = 9 }, { first = 20, count = 2, deposits = [{ asset = \"A\", amount = \"1.25\" }] }]",
        "genesis.instruments.0.tick=0.5",
    ])
    .expect("all values are good");
    assert_eq!(loaded.config.ack.policy, AckPolicy::Memory);
    assert_eq!(loaded.config.threads.core.critical, Core::Number(1));
    assert_eq!(loaded.config.node.name, "42");
    assert_eq!(loaded.config.genesis.instruments[0].tick, "0.5");
    assert_eq!(loaded.config.genesis.accounts[1].first, Some(20));
    assert_eq!(
        value(&loaded, "genesis.accounts.1.deposits.0.amount"),
        Value::String("1.25".into())
    );
    assert_eq!(origin(&loaded, "genesis.assets.1.scale"), "--set");
    assert_eq!(origin(&loaded, "genesis.keys"), "default");
}

#[test]
fn a_set_that_is_no_assignment_or_names_no_entry_is_refused() {
    let message = with_set(&["ack.policy"]).expect_err("no value").to_string();
    assert!(message.starts_with("--set ack.policy: write it as"), "{message}");
    let message = with_set(&["genesis.assets.7.scale=1"]).expect_err("no entry").to_string();
    assert!(message.starts_with("genesis.assets.7.scale: unknown key"), "{message}");
    let message = with_set(&["journal=1"]).expect_err("a section").to_string();
    assert!(message.contains("it is a section, set one of its keys: append,"), "{message}");
    let message = with_set(&["genesis.assets=[{ scale = 1 }]"]).expect_err("no symbol").to_string();
    assert!(message.starts_with("genesis.assets.0.symbol: missing (in --set)"), "{message}");
}

#[test]
fn the_environment_is_strict_about_its_keys() {
    let message = with_env(&[("OUTCRY_ACK__POLCY", "memory")]).expect_err("misspelled").to_string();
    assert!(
        message.starts_with("ack.polcy: unknown key (from env OUTCRY_ACK__POLCY)"),
        "{message}"
    );
    assert!(message.ends_with("did you mean ack.policy?"), "{message}");
    let message = with_env(&[("OUTCRY_ACK_POLICY", "memory")]).expect_err("one line").to_string();
    assert!(message.ends_with("write it as OUTCRY_ACK__POLICY"), "{message}");
    // Names of other programs' making are none of ours.
    let loaded = with_env(&[("OUTCRY_HOME", "/opt"), ("PATH", "/bin")]).expect("nothing set");
    assert_eq!(loaded.config.ack.policy, AckPolicy::Disk);
    let loaded = with_env(&[
        ("OUTCRY_GENESIS__ACCOUNTS__0__ID", "5"),
        ("OUTCRY_GENESIS__ACCOUNTS", "[{ id = 2 }]"),
        ("OUTCRY_GATEWAY__NATIVE__LISTEN", "off"),
    ])
    .expect("all values are good");
    assert_eq!(loaded.config.genesis.accounts[0].id, Some(5));
    assert_eq!(loaded.config.gateway.native.listen.address(), None);
}

#[test]
fn the_names_of_the_source_document_are_accepted_and_shown() {
    let loaded = with_env(&[
        ("CONSUMER_GROUP", "order-processor-critical"),
        ("PARTITIONS", "0,1"),
        ("MAX_THREADS", "24"),
        ("PRIORITY_LEVEL", "critical"),
    ])
    .expect("all values are good");
    assert_eq!(loaded.config, with_env(&[]).expect("defaults").config, "none has an effect");
    for name in ["CONSUMER_GROUP", "PARTITIONS", "MAX_THREADS", "PRIORITY_LEVEL"] {
        assert_eq!(origin(&loaded, name), format!("env {name}"));
        let row = loaded.rows().into_iter().find(|row| row.key == name).expect("a row");
        let note = row.note.expect("a note");
        assert!(note.starts_with("no effect in this release: "), "{name}: {note}");
        assert!(note.contains("single-writer thread"), "{name}: {note}");
    }

    for env in [
        ("CONSUMER_GROUP", "order-processor"),
        ("PARTITIONS", "0;1"),
        ("PARTITIONS", "32"),
        ("PARTITIONS", ""),
        ("PRIORITY_LEVEL", "urgent"),
        ("MAX_THREADS", "many"),
        ("MAX_THREADS", "0"),
    ] {
        let message = with_env(&[env]).expect_err("refused").to_string();
        let (name, value) = env;
        assert!(message.starts_with(&format!("{name}: \"{value}\" is not ")), "{message}");
        assert!(message.contains(&format!("(from env {name}); write ")), "{message}");
    }
}

#[test]
fn values_that_do_not_go_together_are_refused_by_name() {
    for (set, key) in [
        ("gateway.read_budget_bytes=2048", "gateway.read_budget_bytes"),
        ("genesis.instruments.0.tick=0.001", "genesis.instruments.0.tick"),
    ] {
        let message = with_set(&[set]).expect_err("refused").to_string();
        assert!(message.starts_with(&format!("{key}: ")), "{message}");
    }
    with_set(&["gateway.read_budget_bytes=4096"]).expect("a whole frame can be read");
}

#[test]
fn rows_show_every_key_once_in_flow_order() {
    let rows = with_set(&[]).expect("defaults").rows();
    let shown: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    for key in keys() {
        let count = shown.iter().filter(|shown| **shown == key.path).count();
        let in_list = key.path.contains('*');
        let has_entries = shown.iter().any(|shown| shown.starts_with(&format!("{}.0.", key.path)));
        assert_eq!(count, usize::from(!in_list && !has_entries), "{}", key.path);
    }
    assert_eq!(shown[0], "node.name");
    assert_eq!(shown.last(), Some(&"genesis.keys"));
}

#[test]
fn no_value_of_any_key_panics() {
    let texts = [
        "",
        "0",
        "1",
        "-1",
        "2",
        "8",
        "16",
        "255",
        "256",
        "4096",
        "65536",
        "8388608",
        "9000001",
        "1e3",
        "9223372036854775807",
        "-9223372036854775808",
        "99999999999999999999",
        "true",
        "any",
        "off",
        "map",
        "park",
        "trade",
        "disk",
        "BTC",
        "USDT",
        "0.01",
        "0.000000000001",
        "127.0.0.1:0",
        "[::1]:80",
        "[]",
        "[1]",
        "[2, 3]",
        "[{}]",
        "[{ id = 2 }]",
        "{}",
        "'x'",
        "\"",
        "1979-05-27",
        "nan",
        "a\nb",
        "\u{1F980}",
    ];
    let (mut good, mut bad) = (0, 0);
    for (path, _) in places() {
        for text in texts {
            match with_set(&[&format!("{path}={text}")]) {
                Ok(loaded) => {
                    good += 1;
                    assert!(!loaded.rows().is_empty());
                }
                Err(error) => {
                    bad += 1;
                    assert!(!error.to_string().contains('\n'), "one line: {error}");
                }
            }
        }
    }
    assert!(good > 100, "{good} good");
    assert!(bad > 1000, "{bad} bad");
}
