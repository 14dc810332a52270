//! Lists the examples of the learning path: who adds one adds it here as well. Their order is that of the path's own list in
//! `docs/README.md`; what does not stand there yet comes last.

use std::path::Path;
use std::{env, fs};

fn main() {
    let manifest = env::var("CARGO_MANIFEST_DIR").unwrap();
    let examples = Path::new(&manifest).parent().unwrap();
    println!("cargo:rerun-if-changed={}", examples.display());
    let names = fs::read_dir(examples).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().ok()?;
        let name = name.strip_suffix(".rs")?;
        (name.starts_with('e') && name[1..].starts_with(|c: char| c.is_ascii_digit())).then(|| name.to_owned())
    });
    let mut names: Vec<String> = names.collect();
    let path = examples.with_file_name("docs").join("README.md");
    println!("cargo:rerun-if-changed={}", path.display());
    let path = fs::read_to_string(path).unwrap_or_default();
    let place = |name: &String| path.find(&format!("[`{name}`]")).unwrap_or(usize::MAX);
    names.sort_by_key(|name| (place(name), name.clone()));

    let common = examples.join("common/mod.rs");
    let (mut modules, mut list) = (format!("#[path = {common:?}]\npub(super) mod common;\n"), String::new());
    for name in &names {
        let path = examples.join(format!("{name}.rs"));
        modules += &format!("#[path = {path:?}]\nmod {name};\n");
        list += &format!("Example {{ name: {name:?}, text: include_str!({path:?}), program: {name}::program }},\n");
    }
    let out = Path::new(&env::var("OUT_DIR").unwrap()).join("path.rs");
    fs::write(out, format!("{modules}\npub(super) const ALL: &[Example] = &[\n{list}];\n")).unwrap();
}
