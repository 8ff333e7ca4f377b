use std::collections::BTreeSet;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{Config, ConfigError, Overrides, SourceConfig};
use crate::mapping::{Limits, Pool};
use crate::source::{Adapter, Factory};

const SAMPLE: &str = include_str!("../../order-center.sample.toml");

fn load(toml: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    Config::load(Some(file.path()), &Overrides::default())
}

fn complaint(toml: &str) -> String {
    load(toml).unwrap_err().to_string()
}

fn keys(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            keys(value, &format!("{path}.{name}"), into);
        }
    } else {
        into.insert(path.to_owned());
    }
}

fn keys_of(value: &Value) -> BTreeSet<String> {
    let mut into = BTreeSet::new();
    keys(value, "", &mut into);
    into
}

#[test]
fn the_sample_names_every_key_with_its_default() {
    let defaults = serde_json::to_value(Config::default()).unwrap();
    assert_eq!(serde_json::to_value(load(SAMPLE).unwrap()).unwrap(), defaults);

    let mut written: Value = Figment::from(Toml::string(SAMPLE)).extract().unwrap();
    written["sources"] = serde_json::json!([]);
    assert_eq!(keys_of(&written), keys_of(&defaults));
}

#[test]
fn the_sample_names_every_key_of_a_source_with_its_default() {
    let (_, commented) = SAMPLE.split_once("# [[sources]]").unwrap();
    // The first entry is of the protocol, with every default; what only adapters take stands in the second.
    let (first, _) = commented.split_once("\n#\n").unwrap();
    let entry: String = first.lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
    let config = load(&format!("[[sources]]\n{entry}")).unwrap();
    let source = &config.sources[0];
    let defaults = serde_json::to_value(SourceConfig::new(source.key.clone(), source.url.clone())).unwrap();
    let mut given = serde_json::to_value(source).unwrap();
    for key in keys_of(&defaults) {
        assert!(commented.contains(&format!("{} = ", key.trim_start_matches('.'))), "{key} is not in the sample");
    }
    for free in ["title", "token", "webhook_secrets"] {
        given[free] = defaults[free].clone();
    }
    assert_eq!(given, defaults);
}

#[test]
fn a_mistake_is_one_line_that_names_the_place_and_the_nearest_right_name() {
    for (toml, parts) in [
        ("[http]\nlistne = '1'", vec!["`listne`", "did you mean `listen`?"]),
        ("[htpt]\n", vec!["`htpt`", "did you mean `http`?"]),
        ("[http]\nlisten = 'everywhere'", vec!["http.listen"]),
        ("[http]\nin_flight_max = 'many'", vec!["http.in_flight_max", "found string"]),
        ("[http]\nin_flight_max = 0", vec!["http.in_flight_max must be at least 1"]),
        ("[log]\nformat = 'xml'", vec!["log.format", "`xml`", "auto, text, json"]),
        ("[[sources]]\nkey = 'a'", vec!["`url` is missing"]),
        ("[[sources]]\nkey = 'A b'\nurl = 'http://x'", vec!["a source key is 1 to 40 characters"]),
        ("[[sources]]\nkey='a'\nurl='http://x'\n[[sources]]\nkey='a'\nurl='http://y'", vec!["two sources"]),
        ("[[sources]]\nkey='a'\nurl='http://x'\ntoken='abc'", vec!["sources.0.token", "`env:NAME`"]),
        ("[http\n", vec!["TOML", "line 1"]),
    ] {
        let complaint = complaint(toml);
        assert!(!complaint.contains('\n'), "{complaint}");
        for part in parts {
            assert!(complaint.contains(part), "{part:?} is not in {complaint:?}");
        }
    }
    let named = Config::load(Some(std::path::Path::new("/nowhere.toml")), &Overrides::default()).unwrap_err();
    assert!(named.to_string().contains("/nowhere.toml"));
}

#[test]
fn the_command_line_is_over_the_file() {
    let overrides = Overrides { listen: Some("127.0.0.1:0".into()), database: Some("sqlite:other.db".into()) };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SAMPLE).unwrap();
    let config = Config::load(Some(file.path()), &overrides).unwrap();
    assert_eq!(config.http.listen.port(), 0);
    assert_eq!(config.database.url.resolve().unwrap().expose_secret(), "sqlite:other.db");
}

#[test]
fn secrets_are_read_from_where_they_are_and_shown_nowhere() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "swordfish\n").unwrap();
    let toml = format!(
        "[database]\nurl = 'postgres://me:hunter2@db/orders'\n[[sources]]\nkey='a'\nurl='http://x'\ntoken='file:{}'",
        file.path().display()
    );
    let config = load(&toml).unwrap();
    let plug = config.sources[0].plug().unwrap();
    assert_eq!(plug.secrets["token"].expose_secret(), "swordfish");
    let shown = format!("{config:?} {plug:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("swordfish") && !shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("postgres://***@db/orders"), "{shown}");

    let absent = load("[[sources]]\nkey='a'\nurl='http://x'\ntoken='env:ORDER_CENTER_NOT_SET'").unwrap();
    let complaint = absent.sources[0].plug().unwrap_err().to_string();
    assert!(complaint.contains("env:ORDER_CENTER_NOT_SET"), "{complaint}");
}

#[test]
fn an_address_of_a_source_must_be_one() {
    let factory = Factory::new(Pool::new(Limits::default()));
    for (url, part) in [("orders", "no URL"), ("ftp://x", "http and https"), ("http://me:pw@x", "source's token")] {
        let config = load(&format!("[[sources]]\nkey='a'\nurl='{url}'")).unwrap();
        let complaint = factory.plug(config.sources[0].plug().unwrap()).err().expect("refused").to_string();
        assert!(complaint.contains(part), "{complaint}");
    }
    let config = load("[[sources]]\nkey='a'\nurl='http://x'\nadapter='soap'").unwrap();
    assert!(config.sources[0].plug().unwrap_err().to_string().contains("there is no adapter \"soap\""));
}

#[test]
fn an_adapter_takes_settings_and_secrets_and_the_protocol_does_not() {
    let shop = "[[sources]]\nkey='a'\nurl='http://x'\nsettings={money_precision=0}\n";
    let config = load(&format!("{shop}adapter='vendure'\nsecrets={{api_key='env:ORDER_CENTER_NOT_SET'}}")).unwrap();
    let complaint = config.sources[0].plug().unwrap_err().to_string();
    assert!(complaint.contains("env:ORDER_CENTER_NOT_SET"), "{complaint}");
    let config = load(&format!("{shop}adapter='vendure'")).unwrap();
    let plug = config.sources[0].plug().unwrap();
    assert_eq!(plug.settings["money_precision"].as_u64(), Some(0));
    assert!(matches!(plug.adapter, Adapter::Package(files) if files["adapter.toml"].contains("\"vendure\"")));
    for (toml, part) in
        [(shop.to_owned(), "`settings`"), (format!("{shop}adapter='vendure'\ntoken='env:X'"), "`token`")]
    {
        let config = load(&toml).unwrap();
        let complaint = config.sources[0].plug().unwrap_err();
        assert!(complaint.to_string().contains(part), "{complaint}");
    }
}
