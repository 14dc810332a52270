//! Whatever is public is used in an example on its own page of the documentation, and that example runs.
//!
//! | What | is used if an example |
//! |---|---|
//! | a method | on its type's page calls it, by `.name` or `::name`, or implements it |
//! | a function that makes a value | in its file calls it by `Type::name` |
//! | a free function, a macro | in its own documentation names it, outside of a `use` |
//! | a type, a trait | stands on its page at all, or names it elsewhere in its file |
//! | a type without methods, such as a guard or an argument | stands on its page, or names it anywhere |
//!
//! An example in the `//!` of the public module in which an item is found counts too. An example that is marked
//! `no_run`, `ignore`, `compile_fail` or `text` does not.
//!
//! The sources are read line by line, in the form that `cargo fmt` gives them: what begins at the margin is an item,
//! and a `}` at the margin is its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs};

/// What needs no example, by `Page::name` or `name`, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn every_public_item_is_used_in_an_example_that_runs() {
    let missing = missing(&sources());
    let excepted: BTreeSet<&str> = EXCEPTIONS.iter().map(|(item, _)| *item).collect();
    let unexcused: Vec<&String> = missing.iter().filter(|line| !excepted.contains(what(line))).collect();
    assert!(
        unexcused.is_empty(),
        "these are in no example that runs:\n{}\nUse each of them in an example on its page: in its own documentation, \
         in that of its type, or in the `//!` of its public module. Rather let one example of the type show several \
         methods at work than give each a trivial one.",
        unexcused.iter().map(|line| format!("  {line}\n")).collect::<String>()
    );
    let stale: Vec<&str> =
        excepted.into_iter().filter(|item| !missing.iter().any(|line| what(line) == *item)).collect();
    assert!(stale.is_empty(), "these have examples by now, take them off the list of exceptions: {stale:?}");
}

/// The item in a line `file: item`.
fn what(line: &str) -> &str {
    line.rsplit(": ").next().unwrap()
}

// ---- the sources ---------------------------------------------------------------------------------------------------

/// The library's sources by path, without unit tests.
fn sources() -> BTreeMap<String, String> {
    fn visit(directory: &Path, root: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, root, into);
            } else if path.extension().is_some_and(|e| e == "rs") && path.file_name().unwrap() != "tests.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                into.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    visit(&root.join("src"), root, &mut sources);
    sources
}

/// The files of the public modules: those that `lib.rs`, or a public module, declares by `pub mod`.
fn public_modules(sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut to_read = vec![("src/lib.rs".to_owned(), "src/".to_owned())];
    while let Some((file, directory)) = to_read.pop() {
        for line in sources.get(&file).map(String::as_str).unwrap_or("").lines() {
            let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) else { continue };
            for file in [format!("{directory}{name}.rs"), format!("{directory}{name}/mod.rs")] {
                if sources.contains_key(&file) {
                    found.insert(file.clone());
                    to_read.push((file, format!("{directory}{name}/")));
                }
            }
        }
    }
    found
}

/// The public module in which an item of the file is found, unless that is the root.
fn module_of<'a>(file: &str, public: &'a BTreeSet<String>) -> Option<&'a String> {
    let directory =
        |module: &str| module.trim_end_matches("mod.rs").trim_end_matches(".rs").trim_end_matches('/').to_owned();
    let holds = |module: &&String| file == **module || file.starts_with(&format!("{}/", directory(module)));
    public.iter().filter(holds).max_by_key(|module| directory(module).len())
}

// ---- items and examples --------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Type,
    Function,
    Maker,
    Method,
}

#[derive(Debug)]
struct Item {
    kind: Kind,
    name: String,
    /// The name of the type, the function or the macro that has a page of its own.
    page: String,
}

#[derive(Default)]
struct File {
    items: Vec<Item>,
    /// The code that runs, by page.
    pages: BTreeMap<String, String>,
    /// In `//!`.
    module: String,
    /// Everywhere in the file.
    all: String,
}

/// The code of the examples in a comment that run, without what they import and without their comments.
fn examples(comment: &str) -> String {
    let mut code = String::new();
    let mut fence: Option<bool> = None;
    let mut importing = false;
    for line in comment.lines() {
        let line = line.trim();
        if let Some(marks) = line.strip_prefix("```") {
            let runs = marks.split(',').all(|mark| ["", "rust", "should_panic"].contains(&mark.trim()));
            fence = if fence.is_some() { None } else { Some(runs) };
        } else if fence == Some(true) {
            let line = line.strip_prefix("# ").unwrap_or(line);
            importing |= line.starts_with("use ");
            if !importing {
                code += line.split("// ").next().unwrap();
                code.push('\n');
            }
            importing &= !line.ends_with(';');
        }
    }
    code
}

/// The type of an `impl`, from its first line.
fn implementor(line: &str) -> String {
    let mut rest = line.trim_start_matches("unsafe ").trim_start_matches("impl");
    if rest.starts_with('<') {
        let (mut depth, mut before) = (0, ' ');
        let end = rest.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>' && before != '-');
            before = c;
            depth == 0
        });
        rest = &rest[end.map_or(0, |end| end + 1)..];
    }
    let rest = rest.rsplit(" for ").next().unwrap().trim_start_matches([' ', '&']);
    let rest = rest.strip_prefix('\'').and_then(|rest| rest.split_once(' ')).map_or(rest, |(_, rest)| rest);
    let path = rest.split(['<', ' ', '{']).next().unwrap();
    path.rsplit("::").next().unwrap().to_owned()
}

fn is_part_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The name behind `fn` and the like.
fn name_after<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    line.strip_prefix(keyword)?.split(|c| !is_part_of_a_name(c)).next().filter(|name| !name.is_empty())
}

/// The functions of a documented line in the invocation of a macro: the names before its first punctuation.
fn made_by_a_macro(line: &str) -> Vec<Item> {
    let names = line.split(['(', ':', '=', ';', '<', '-']).next().unwrap().split_whitespace();
    let names = names.filter(|name| name.starts_with(char::is_lowercase) && name.chars().all(is_part_of_a_name));
    let names = names.filter(|_| !line.contains("static "));
    names.map(|name| Item { kind: Kind::Function, name: name.to_owned(), page: "a macro".to_owned() }).collect()
}

/// Whether the first parameter of a signature is `self`.
fn takes_self(signature: &str) -> bool {
    let parameters = signature.split_once('(').map_or("", |(_, parameters)| parameters);
    let first = parameters.split([',', ')']).next().unwrap();
    first.split(|c| !is_part_of_a_name(c)).any(|word| word == "self")
}

fn read(text: &str) -> File {
    let mut file = File::default();
    let mut comment = String::new();
    let (mut is_hidden, mut in_attribute) = (false, false);
    // What the invocation of a macro that is open is indented by.
    let mut invocation: Option<&str> = None;
    // The item at the margin that is open: its page, whether it is a public trait, and whether it is hidden.
    let mut open: Option<(&str, String, bool)> = None;
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if let Some(text) = code.strip_prefix("//!") {
            file.module += text;
            file.module.push('\n');
            continue;
        } else if let Some(text) = code.strip_prefix("///") {
            comment += text;
            comment.push('\n');
            continue;
        } else if code.starts_with("#[") || in_attribute {
            is_hidden |= code == "#[doc(hidden)]";
            in_attribute = !code.ends_with(']');
            continue;
        } else if code.starts_with("//") {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        if let Some(outer) = invocation {
            if code.starts_with('}') && indent == outer {
                invocation = None;
            } else if !comment.is_empty() {
                file.items.extend(made_by_a_macro(code));
            }
        } else if code.strip_suffix("! {").is_some_and(|name| name.chars().all(is_part_of_a_name)) {
            invocation = Some(indent);
        }
        let words = ["pub ", "const ", "unsafe "].iter().fold(code, |code, word| code.trim_start_matches(word));
        let is_public = code.starts_with("pub ");
        let shown = examples(&comment);
        file.all += &shown;
        if code.len() == line.len() {
            let keyword =
                ["struct ", "enum ", "trait ", "type ", "fn "].into_iter().find(|word| words.starts_with(word));
            let kind = if keyword == Some("fn ") { Kind::Function } else { Kind::Type };
            let name = keyword.and_then(|keyword| name_after(words, keyword)).or(name_after(words, "macro_rules! "));
            let page = match name {
                Some(name) => name.to_owned(),
                None if words.starts_with("impl") => implementor(words),
                None => String::new(),
            };
            let is_macro = words.starts_with("macro_rules!");
            if !is_hidden && (is_public && name.is_some() || is_macro && lines[at - 1] == "#[macro_export]") {
                let kind = if is_macro { Kind::Function } else { kind };
                file.items.push(Item { kind, name: page.clone(), page: page.clone() });
            }
            *file.pages.entry(page.clone()).or_default() += &shown;
            if code.starts_with('}') {
                open = None;
            } else if !page.is_empty() && !code.ends_with([';', '}']) || code.contains("mod ") && code.ends_with('{') {
                open = Some((if is_public { keyword.unwrap_or("") } else { "" }, page, is_hidden));
            }
        } else if let Some((keyword, page, in_what_is_hidden)) = &open {
            let is_of_a_trait = *keyword == "trait " && line.len() - code.len() == 4;
            if let Some(name) = name_after(words, "fn ")
                && (is_public || is_of_a_trait)
                && !is_hidden
                && !in_what_is_hidden
            {
                let kind = if takes_self(&lines[at..].join(" ")) { Kind::Method } else { Kind::Maker };
                file.items.push(Item { kind, name: name.to_owned(), page: page.clone() });
            }
            *file.pages.entry(page.clone()).or_default() += &shown;
        }
        comment.clear();
        is_hidden = false;
    }
    file.module = examples(&file.module);
    file
}

/// Where a name stands by itself: what is before it.
fn places<'a>(code: &'a str, name: &str) -> Vec<&'a str> {
    let stands = |(at, _): &(usize, &str)| {
        !code[..*at].ends_with(is_part_of_a_name) && !code[at + name.len()..].starts_with(is_part_of_a_name)
    };
    code.match_indices(name).filter(stands).map(|(at, _)| &code[..at]).collect()
}

fn is_used(item: &Item, code: &str) -> bool {
    let before = places(code, &item.name);
    match item.kind {
        Kind::Type | Kind::Function => !before.is_empty(),
        Kind::Method => before.iter().any(|before| [".", "::", "fn "].iter().any(|call| before.ends_with(call))),
        Kind::Maker => before.iter().any(|before| {
            let Some(path) = before.strip_suffix("::") else { return false };
            let path = if path.ends_with('>') { path.rsplit_once("::<").map_or(path, |(path, _)| path) } else { path };
            path.ends_with(&item.page) || is_of_a_macro(item)
        }),
    }
}

/// What a macro makes, such as the methods of several types: any page of its module will do.
fn is_of_a_macro(item: &Item) -> bool {
    item.page != item.name && item.page.starts_with(char::is_lowercase)
}

/// The items that are in no example, each after its file.
fn missing(sources: &BTreeMap<String, String>) -> Vec<String> {
    let public = public_modules(sources);
    let files: BTreeMap<&String, File> = sources.iter().map(|(name, text)| (name, read(text))).collect();
    let everywhere: String = files.values().flat_map(|file| [file.all.as_str(), file.module.as_str()]).collect();
    let mut missing = Vec::new();
    for (name, file) in &files {
        let module = module_of(name, &public);
        let in_module = module.map_or("", |module| files[module].module.as_str());
        // A type's methods may stand in several files of its module, and all are on its page.
        let on_page = |page: &str| -> String {
            let neighbours = files.iter().filter(|(name, _)| module_of(name, &public) == module);
            neighbours.filter_map(|(_, file)| file.pages.get(page)).map(String::as_str).collect()
        };
        for item in &file.items {
            let page = on_page(&item.page);
            let has_methods = file.items.iter().any(|other| other.kind != Kind::Type && other.page == item.name);
            let used = match item.kind {
                Kind::Type if has_methods => !page.is_empty() || is_used(item, &file.all),
                Kind::Type => !page.is_empty() || is_used(item, &everywhere),
                Kind::Maker => is_used(item, &file.all), // it is called with its type's name, so it is not mistaken
                _ if is_of_a_macro(item) => {
                    let mut neighbours = files.iter().filter(|(name, _)| module_of(name, &public) == module);
                    neighbours.any(|(_, file)| is_used(item, &file.all))
                }
                _ => is_used(item, &page),
            };
            if !used && !is_used(item, in_module) {
                let is_alone = item.page == item.name || item.page.contains(' ');
                let path = if is_alone { String::new() } else { format!("{}::", item.page) };
                missing.push(format!("{name}: {path}{}", item.name));
            }
        }
    }
    missing
}

#[test]
fn the_reading_of_sources_is_right() {
    let a = r#"
/// A thing.
///
/// ```
/// use corio::{Thing, imported};
/// let thing = Thing::new();
/// thing.shown(1); // not: thing.unseen();
/// ```
pub struct Thing<T>(T);

impl<T: Fn() -> u8> Thing<T> {
    /// Made.
    #[expect(
        clippy::new_without_default,
        reason = "an attribute of several lines"
    )]
    pub const fn new() -> Thing<T> {
        Thing(0)
    }

    pub fn shown(&self, n: u8) {}
    pub fn unseen(
        &mut self,
    ) {}
    pub fn of(n: u8) -> Thing<T> {}
    pub(crate) fn internal(&self) {}

    #[doc(hidden)]
    pub fn hidden(&self) {}
}

impl<'a> Other for &'a Thing<u8> {
    /// ```
    /// Thing::of(1);
    /// ```
    fn other(&self) {}
}

/// ```no_run
/// corio::imported();
/// ```
pub fn imported() {}

fn private() -> ! {
    panic!()
}

/// Used in an example of another page.
pub struct Guard;

/// In none.
pub enum Forgotten {
    One,
}
"#;
    let b = r#"//! ```
//! corio::b::made();
//! let guard: Guard = corio::b::later();
//! ```

functions! {
    /// Made.
    made(path) -> u8;
    /// Not made.
    unmade(path) -> u8;
}

/// In the example of the module.
pub fn later() {}

/// One that others implement.
///
/// ```
/// struct Mine;
/// impl Sink for Mine {
///     fn write(&mut self) {}
/// }
/// ```
pub trait Sink {
    fn write(&mut self);
    fn flush(&mut self);
}

#[doc(hidden)]
pub mod of {
    pub fn nothing() {}
}
"#;
    let files = [("src/lib.rs", "mod a;\npub mod b;\n"), ("src/a.rs", a), ("src/b.rs", b)];
    let sources = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let found = missing(&sources);
    let expected = ["a.rs: Thing::unseen", "a.rs: imported", "a.rs: Forgotten", "b.rs: unmade", "b.rs: Sink::flush"];
    assert_eq!(found, expected.map(|line| format!("src/{line}")));
}
