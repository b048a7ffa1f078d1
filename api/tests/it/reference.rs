//! The generated part of `docs/reference` is as it is checked in. `UPDATE_DOCS=1` writes it anew.

use std::{collections::BTreeMap, fs, path::Path};

use connect_core::registry::Registry;

fn checked_in(dir: &Path, below: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        match path.is_dir() {
            true => checked_in(&path, &format!("{name}/"), files),
            false if name.ends_with(".json") => {
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
            false => {}
        }
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let generated = api::reference(&Registry::apache().merge(connectors::registry()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(dir.join("schemas")).unwrap();
        for (name, text) in &generated {
            fs::write(dir.join(name), text).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    checked_in(&dir, "", &mut found);
    for (name, text) in &generated {
        assert_eq!(found.get(name), Some(text), "{name}: run `cargo xtask docs`");
    }
    let stale: Vec<&String> = found.keys().filter(|name| !generated.contains_key(*name)).collect();
    assert!(stale.is_empty(), "no plugin is behind {stale:?}");
}
