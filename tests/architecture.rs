//! `docs/architecture.md` says what is so: every file is in its code map, every `unsafe` in its list, and nothing is
//! imported from a higher layer except where it says so. Links between the documents are followed too.
//!
//! `BLESS=1 cargo test --test architecture` prints the rows of the list of `unsafe` sites as they should begin; the reasons
//! are for a person to write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

const PAGE: &str = "docs/architecture.md";

// ---- what the page says --------------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join(PAGE)).unwrap()
}

/// The part of the page under the heading that begins so, up to the next heading of that level.
fn section(page: &str, heading: &str) -> String {
    let from = page.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("{PAGE} has no heading {heading:?}")) + 1;
    let level = heading.split(' ').next().unwrap();
    let rest = &page[from + heading.len()..];
    let to = rest.find(&format!("\n{level} ")).unwrap_or(rest.len());
    rest[..to].to_owned()
}

/// The cells of the tables in a text, without the rows above and at the ruler.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_ruler = |line: &str| line.starts_with('|') && line.chars().all(|c| "|-: ".contains(c));
    let mut rows = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let is_title = lines.get(n + 1).is_some_and(|next| is_ruler(next));
        if line.starts_with('|') && !is_ruler(line) && !is_title {
            rows.push(line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

// ---- what the sources say ------------------------------------------------------------------------------------------

/// The sources of the library, by path from the package's root; files of tests are left out.
fn sources() -> BTreeMap<String, String> {
    fn visit(directory: PathBuf, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(path, into);
            } else if path.extension().is_some_and(|e| e == "rs") && path.file_name().unwrap() != "tests.rs" {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                into.insert(name, without_tests(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut sources = BTreeMap::new();
    visit(root().join("src"), &mut sources);
    sources
}

/// Up to the module of unit tests, which stands at the end of a file.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

/// A line without its comment and without the insides of its string literals.
fn code(line: &str) -> String {
    let mut code = String::new();
    let (mut in_text, mut escaped) = (false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if !escaped => in_text = !in_text,
            '/' if !in_text && chars.peek() == Some(&'/') => break,
            _ if !in_text => code.push(c),
            _ => {}
        }
        escaped = in_text && c == '\\' && !escaped;
    }
    code
}

fn words(code: &str) -> Vec<&str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
}

/// How often `unsafe` stands in each function of a source. A function inside another counts for itself.
fn unsafe_sites(source: &str) -> BTreeMap<String, usize> {
    let mut sites = BTreeMap::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    for line in source.lines() {
        let code = code(line);
        let words = words(&code);
        let indent = line.len() - line.trim_start().len();
        if words.is_empty() {
            continue;
        }
        if let Some(name) = words.iter().position(|word| *word == "fn").and_then(|at| words.get(at + 1)) {
            let is_item = words[..words.iter().position(|word| *word == "fn").unwrap()]
                .iter()
                .all(|word| ["pub", "crate", "super", "const", "unsafe", "extern", "in"].contains(word));
            if is_item {
                open.retain(|(outer, _)| *outer < indent);
                open.push((indent, (*name).to_owned()));
            }
        }
        let count = words.iter().filter(|word| **word == "unsafe").count();
        if count == 0 {
            continue;
        }
        let site = if words.starts_with(&["unsafe", "impl"]) {
            code.trim().trim_end_matches(['{', '}', ' ']).trim_start_matches("unsafe ").to_owned()
        } else {
            let within = |(outer, _): &&(usize, String)| *outer < indent || words.contains(&"fn") && *outer == indent;
            let function = open.iter().rev().find(within);
            function.unwrap_or_else(|| panic!("an `unsafe` outside any function: {line}")).1.clone()
        };
        *sites.entry(site).or_insert(0) += count;
    }
    sites
}

/// The module that a path such as `event_loop::Phase` names, as far as the layers tell modules apart.
fn module(path: &str) -> String {
    let parts: Vec<&str> = path.split("::").map(str::trim).collect();
    if parts.starts_with(&["observe", "event"]) { "observe::event".into() } else { parts[0].into() }
}

/// The module of a file.
fn module_of(file: &str) -> String {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    module(&path.replace('/', "::"))
}

/// The modules of this crate that a source names in its `use crate::` lines and in paths that begin so.
fn imports(source: &str) -> BTreeSet<String> {
    let lines: Vec<String> = source.lines().map(code).collect();
    let text = lines.join("\n");
    let mut modules = BTreeSet::new();
    for (at, found) in text.match_indices("crate::") {
        let path: String =
            text[at + found.len()..].chars().take_while(|c| c.is_alphanumeric() || "_:{".contains(*c)).collect();
        modules.insert(module(path.trim_start_matches('{')));
    }
    modules
}

// ---- the checks ----------------------------------------------------------------------------------------------------

#[test]
fn every_file_is_in_the_code_map() {
    let map = section(&page(), "## Code map");
    let named: BTreeSet<String> = quoted(&map).into_iter().filter(|name| name.starts_with("src/")).collect();
    let files: BTreeSet<String> = sources().into_keys().collect();
    let missing: Vec<_> = files.difference(&named).collect();
    let gone: Vec<_> = named.iter().filter(|name| !root().join(name).exists()).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the code map: {missing:?}; in it, but no file: {gone:?}");
}

#[test]
fn every_unsafe_is_in_the_list() {
    let list = section(&page(), "## Every `unsafe`");
    let mut said: BTreeMap<(String, String), usize> = BTreeMap::new();
    for part in list.split("\n### `").skip(1) {
        let file = part.split('`').next().unwrap();
        for row in rows(part) {
            assert!(
                row.len() == 5 && row.iter().all(|cell| !cell.is_empty()),
                "{PAGE}: {file}: {row:?} is not complete"
            );
            said.insert((file.to_owned(), quoted(&row[0])[0].clone()), row[1].parse().unwrap());
        }
    }
    let mut found = BTreeMap::new();
    for (file, source) in sources() {
        for (site, count) in unsafe_sites(&source) {
            found.insert((file.clone(), site), count);
        }
    }
    if env::var_os("BLESS").is_some() {
        let mut last = "";
        for ((file, site), count) in &found {
            if file != last {
                println!(
                    "\n### `{file}`\n\n| Site | n | Why it is sound | Rule | Who would notice |\n|---|--:|---|---|---|"
                );
            }
            println!("| `{site}` | {count} | | | |");
            last = file;
        }
    }
    let unlisted: Vec<_> = found.iter().filter(|(site, count)| said.get(site) != Some(count)).collect();
    let gone: Vec<_> = said.iter().filter(|(site, _)| !found.contains_key(site)).collect();
    assert!(
        unlisted.is_empty() && gone.is_empty(),
        "`unsafe` sites with another count, or none, in {PAGE}: {unlisted:#?}; in it, but not in the sources: {gone:#?}"
    );
}

/// The tests that the list names exist.
/// R8. The lint `undocumented_unsafe_blocks` asks for the same of each block; it has to stay on.
#[test]
fn r8_every_unsafe_has_a_comment_that_argues_and_a_rule_or_a_reason_in_the_list() {
    const WINDOW: usize = 8;
    let mut silent = Vec::new();
    for (file, source) in sources() {
        let lines: Vec<&str> = source.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            // What a function with `unsafe` in its head demands, its documentation states.
            let code = code(line);
            if !words(&code).contains(&"unsafe") || code.contains("unsafe fn") || code.trim_start().starts_with('#') {
                continue;
            }
            // Above it, behind attributes and the beginning of the same statement.
            if !lines[at.saturating_sub(WINDOW)..=at].iter().any(|line| line.contains("SAFETY:")) {
                silent.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
        assert!(!source.contains("allow(clippy::undocumented_unsafe_blocks"), "{file}");
    }
    assert!(silent.is_empty(), "{silent:#?}");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("undocumented_unsafe_blocks = \"warn\""));

    let list = section(&page(), "## Every `unsafe`");
    for row in list.split("\n### `").skip(1).flat_map(rows) {
        let rules = row[3].split(", ");
        for rule in rules {
            let known = rule == "–" || list.contains(&format!("**{rule}** "));
            assert!(known, "{PAGE}: {row:?} names {rule:?}, which the page does not explain");
        }
    }
}

/// R8: three holes that no library can close are told to whoever reads the first page, and explained in the book.
#[test]
fn r8_the_three_holes_are_stated_in_the_readme_and_in_the_book() {
    let holes =
        [["thread_local!", "initialiser"], ["scoped_tls::set", "inside"], ["generator in a `thread_local!`", "three"]];
    for page in ["README.md", "docs/book/what-can-go-wrong.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for words in holes {
            assert!(words.iter().all(|word| text.contains(word)), "{page} does not tell of {words:?}");
        }
        assert!(text.contains("what can go wrong"), "{page}");
    }
}

#[test]
fn who_would_notice_is_there() {
    let mut tests = String::new();
    for directory in ["tests", "src", "src/stack", "src/observe"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
    }
    for row in rows(&section(&page(), "## Every `unsafe`")) {
        for name in quoted(row.last().unwrap()) {
            let there =
                if name.contains('/') { root().join(&name).exists() } else { tests.contains(&format!("fn {name}(")) };
            assert!(there, "{PAGE}: no test {name:?}, which should notice {}", row[0]);
        }
    }
}

#[test]
fn nothing_is_imported_from_above() {
    let page = page();
    let mut layers: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(&section(&page, "## Layers")) {
        if let Ok(layer) = row[0].parse() {
            layers.extend(quoted(&row[1]).into_iter().map(|name| (name, layer)));
        }
    }
    let mut allowed: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows(&section(&page, "### Known knots")) {
        for to in quoted(&row[1]) {
            allowed.insert((quoted(&row[0])[0].clone(), to));
        }
    }
    let layer = |module: &str| *layers.get(module).unwrap_or_else(|| panic!("{PAGE}: no layer for {module:?}"));
    let (mut upward, mut used) = (Vec::new(), BTreeSet::new());
    let sources = sources();
    let modules: BTreeSet<String> = sources.keys().map(|file| module_of(file)).collect();
    for (file, source) in &sources {
        let from = module_of(file);
        if from == "lib" {
            continue;
        }
        for to in imports(source) {
            // What is no module is a name that the root of the crate gives out.
            if !modules.contains(&to) || to == from || layer(&from) >= layer(&to) {
                continue;
            }
            let knot = (from.clone(), to.clone());
            if !allowed.contains(&knot) {
                upward.push(format!("{file} imports from {to}"));
            }
            used.insert(knot);
        }
    }
    let unused: Vec<_> = allowed.difference(&used).collect();
    assert!(upward.is_empty(), "a lower layer imports from a higher one: {upward:#?}");
    assert!(unused.is_empty(), "{PAGE} allows what nobody needs any more: {unused:?}");
}

/// Links between the documents, and the chapters that the sources name.
#[test]
fn links_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    for directory in ["docs", "docs/book"] {
        let entries = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        documents.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    let mut broken = Vec::new();
    for document in documents {
        for link in fs::read_to_string(&document).unwrap().split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let text = fs::read_to_string(&target).unwrap_or_default();
            if text.is_empty() || !(anchor.is_empty() || text.lines().any(|line| anchor_of(line) == anchor)) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    for (file, source) in sources() {
        let chapters = source.split('`').filter(|part| part.starts_with("docs/") && part.ends_with(".md"));
        broken.extend(chapters.filter(|name| !root().join(name).exists()).map(|name| format!("{file}: {name}")));
    }
    assert!(broken.is_empty(), "these lead nowhere: {broken:#?}");
}

/// The name by which a link reaches a heading; empty if the line is none.
fn anchor_of(line: &str) -> String {
    let Some(title) = line.starts_with('#').then(|| line.trim_start_matches('#').trim()) else { return String::new() };
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn the_reading_of_sources_is_right() {
    let source = "fn a() {\n    // unsafe in a comment\n    let x = unsafe { \"unsafe //\" };\n    fn b() {\n        unsafe {}\n    }\n    \
                  unsafe {}\n}\n// SAFETY: no\nunsafe impl Send for C {}\nunsafe fn d() {\n    unsafe { e() }\n}\n";
    let sites = unsafe_sites(source);
    let sites: Vec<(&str, usize)> = sites.iter().map(|(site, count)| (site.as_str(), *count)).collect();
    assert_eq!(sites, [("a", 2), ("b", 1), ("d", 2), ("impl Send for C", 1)]);
    assert_eq!(
        imports("use crate::task::wait::{park};\ncrate::fatal(x);\n").into_iter().collect::<Vec<_>>(),
        ["fatal", "task"]
    );
    assert_eq!(module_of("src/observe/event.rs"), "observe::event");
    assert_eq!(module_of("src/task/mod.rs"), "task");
}
