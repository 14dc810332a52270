//! What the documents show is what the programs do, and what the sources say.
//!
//! In `README.md` and everywhere below `docs/`, a block of code is kept between two comments:
//!
//! | comment | what stands between it and `<!-- end -->` |
//! | --- | --- |
//! | `<!-- golden e11_tasks -->` | the example's narration, from `examples/golden` |
//! | `<!-- golden e11_tasks from=joining to=joined -->` | the part of it between two marks; either may be left out |
//! | `<!-- code e11_tasks program -->` | the lines between `// ANCHOR: program` and `// ANCHOR_END: program` |
//! | `<!-- code src/observe/state.rs fold -->` | the same of any file |
//!
//! `BLESS=1 cargo test --test docs` rewrites the blocks.

use std::path::{Path, PathBuf};
use std::{env, fs};

const END: &str = "<!-- end -->";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_documents_show_what_is_so() {
    let mut documents = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut documents);
    let mut stale = Vec::new();
    for path in documents.iter().filter(|path| path.exists()) {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display();
        match renew(&text) {
            Err(trouble) => stale.push(format!("{name}: {trouble}")),
            Ok(new) if new == text => {}
            Ok(new) if env::var_os("BLESS").is_some() => fs::write(path, new).unwrap(),
            Ok(new) => {
                let line = new.lines().zip(text.lines()).take_while(|(new, old)| new == old).count();
                let (old, new) = (text.lines().nth(line), new.lines().nth(line));
                stale.push(format!("{name}, line {}:\n-  {}\n+  {}", line + 1, old.unwrap_or(""), new.unwrap_or("")));
            }
        }
    }
    assert!(stale.is_empty(), "{}\nBLESS=1 rewrites what is old", stale.join("\n"));
}

/// Each picture is there; that of a run is told in words as well, for those who do not see it.
#[test]
fn every_picture_is_there() {
    let mut documents = Vec::new();
    collect(&root().join("docs"), &mut documents);
    let mut pictures = 0;
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for picture in text.split("\n![").skip(1) {
            let (words, rest) = picture.split_once("](").expect("a picture has a place");
            let file = path.with_file_name(rest.split(')').next().unwrap());
            assert!(file.exists(), "{}: there is no {}", path.display(), file.display());
            if file.starts_with(root().join("docs/book/pictures")) {
                assert!(words.len() > 60, "{}: {words:?} tells little of {}", path.display(), file.display());
                pictures += 1;
            }
        }
    }
    assert!(pictures > 5, "{pictures}");
}

/// Nothing was left to be filled in.
#[test]
fn no_document_has_a_gap() {
    let mut documents = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    collect(&root().join("docs"), &mut documents);
    for path in documents {
        for (number, line) in (1..).zip(fs::read_to_string(&path).unwrap().lines()) {
            assert!(!is_a_gap(line), "{}, line {number}: {line}", path.display());
        }
    }
    assert!(is_a_gap("@FIGURES@") && is_a_gap("| ours | @NS_OP@ |") && is_a_gap("(todo: measure)"));
    assert!(!is_a_gap("to do this, mail ada@example.org or bob@example.org"));
}

/// Whether a line waits for somebody: it has a name between two signs `@`, or says so in a word.
fn is_a_gap(line: &str) -> bool {
    let is_name = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let between = line.split('@').skip(1).collect::<Vec<_>>();
    let mut names = between.iter().rev().skip(1); // behind the last sign nothing is between
    names.any(|word| is_name(word)) || ["todo", "fixme"].iter().any(|word| line.to_lowercase().contains(word))
}

/// What is no part of a program that is shown elsewhere is compiled, and run where it can be.
#[test]
fn every_document_is_a_documentation_test() {
    let mut documents = vec![root().join("README.md")];
    collect(&root().join("docs/book"), &mut documents);
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for path in documents {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        assert!(library.contains(&format!(": \"{name}\",")), "src/lib.rs: `documents!` does not have {name}");
    }
}

/// What a page of `docs/learn` quotes of a run, a step and what follows or what somebody waits for, stands in the run that it shows.
#[test]
fn every_step_that_is_quoted_is_shown() {
    let mut pages = Vec::new();
    collect(&root().join("docs/learn"), &mut pages);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap().replace('\n', " ");
        let mut quoted = 0;
        let says_what_for = |quote: &str| quote.starts_with("lock ") || quote.starts_with("timer ");
        let is_of_a_run = |quote: &str| quote.starts_with(|c: char| c.is_ascii_digit()) || says_what_for(quote);
        for quote in text.split('`').skip(1).step_by(2).filter(|quote| is_of_a_run(quote)) {
            quoted += 1;
            assert!(text.matches(quote).count() > 1, "{}: {quote:?} is not shown", page.display());
        }
        assert!(quoted > 0, "{} quotes nothing", page.display());
    }
}

/// The stepper says where to read more, whatever it explains.
#[test]
fn every_chapter_that_the_stepper_names_is_there() {
    let stepper = fs::read_to_string(root().join("src/observe/explain.rs")).unwrap();
    let named: Vec<&str> = stepper.split("(docs/").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(named.len() > 20, "{named:?}");
    for explained in stepper.split('"').skip(1).step_by(2) {
        assert!(explained.contains("(docs/book/") && explained.ends_with(".md)"), "no chapter: {explained}");
    }
    for chapter in named {
        assert!(root().join("docs").join(chapter).exists(), "{chapter}");
    }
}

fn collect(directory: &Path, documents: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, documents);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
}

/// A document with its blocks as they should be.
fn renew(text: &str) -> Result<String, String> {
    let mut new = String::new();
    let mut lines = (1..).zip(text.lines());
    let mut fenced = false;
    while let Some((number, line)) = lines.next() {
        new += line;
        new.push('\n');
        fenced ^= line.trim_start().starts_with("```");
        let Some(directive) = line.trim().strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) else {
            continue;
        };
        let words: Vec<&str> = directive.split_whitespace().collect();
        let block = match words[..] {
            _ if fenced => continue, // a document that explains this
            ["golden", name, ref marks @ ..] => golden(name, marks).map(|text| ("text", text)),
            ["code", name, anchor] => code(name, anchor).map(|text| ("rust,ignore", text)),
            ["golden" | "code", ..] => Err("a name is missing, or there is one too many".to_owned()),
            ["end"] => Err("this ends nothing".to_owned()),
            _ => continue, // somebody else's comment
        };
        let (language, block) = block.map_err(|trouble| format!("line {number}, `{line}`: {trouble}"))?;
        if !lines
            .by_ref()
            .take_while(|(_, line)| !line.starts_with("<!-- ") || *line == END)
            .any(|(_, line)| line == END)
        {
            return Err(format!("line {number}, `{line}`: no `{END}` follows"));
        }
        new += &format!("\n```{language}\n{}\n```\n\n{END}\n", block.trim_end());
    }
    Ok(new)
}

/// The narration of an example, or the part between two marks.
fn golden(name: &str, marks: &[&str]) -> Result<String, String> {
    let text = fs::read_to_string(root().join(format!("examples/golden/{name}.txt")))
        .map_err(|_| format!("there is no golden file of {name}"))?;
    let lines: Vec<&str> = text.lines().collect();
    let find = |mark: &str| {
        let position = lines.iter().position(|line| line.trim() == format!("── {mark} ──"));
        position.ok_or_else(|| format!("{name} has no mark {mark}"))
    };
    let (mut from, mut to) = (0, lines.len());
    for mark in marks {
        match mark.split_once('=') {
            Some(("from", mark)) => from = find(mark)? + 1,
            Some(("to", mark)) => to = find(mark)?,
            _ => return Err(format!("`{mark}` is neither from= nor to=")),
        }
    }
    lines.get(from..to).map(|part| part.join("\n")).ok_or_else(|| format!("{name}: `to` stands before `from`"))
}

/// The lines of a source file between two anchors, without what they are indented by.
fn code(name: &str, anchor: &str) -> Result<String, String> {
    let file = if name.ends_with(".rs") { name.to_owned() } else { format!("examples/{name}.rs") };
    let text = fs::read_to_string(root().join(&file)).map_err(|_| format!("there is no {file}"))?;
    let is = |line: &&str, what: &str| line.trim() == format!("// {what}: {anchor}");
    let mut part = text.lines().skip_while(|line| !is(line, "ANCHOR")).skip(1);
    let lines: Vec<&str> = part.by_ref().take_while(|line| !is(line, "ANCHOR_END")).collect();
    if lines.is_empty() || !text.lines().any(|line| is(&line, "ANCHOR_END")) {
        return Err(format!("{file} has no anchor {anchor}, or no end of it"));
    }
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let cut =
        lines.iter().filter(|line| !line.trim().starts_with("// ANCHOR")).map(|line| line.get(indent..).unwrap_or(""));
    Ok(cut.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_is_wrong_is_found() {
    for (text, trouble) in [
        ("<!-- golden e99_nobody -->\n<!-- end -->", "there is no golden file"),
        ("<!-- golden e11_tasks from=nowhere -->\n<!-- end -->", "has no mark nowhere"),
        ("<!-- golden e11_tasks upto=joining -->\n<!-- end -->", "is neither"),
        ("<!-- code e11_tasks nothing -->\n<!-- end -->", "has no anchor nothing"),
        ("<!-- code src/nothing.rs a -->\n<!-- end -->", "there is no src/nothing.rs"),
        ("<!-- code e11_tasks -->\n<!-- end -->", "a name is missing"),
        ("<!-- golden e11_tasks -->\n```\n", "no `<!-- end -->` follows"),
        ("<!-- golden e11_tasks -->\n<!-- golden e11_tasks -->\n<!-- end -->", "no `<!-- end -->` follows"),
        ("<!-- end -->", "this ends nothing"),
    ] {
        let found = renew(text).expect_err(text);
        assert!(found.contains(trouble), "{text}: {found}");
    }
    let untouched = "# A title\n\n<!-- a comment -->\n```text\n<!-- golden e99_nobody -->\n```\n";
    assert_eq!(renew(untouched).unwrap(), untouched);
    let new = renew("<!-- code e11_tasks program -->\n<!-- end -->\n").unwrap();
    assert!(new.contains("\n```rust,ignore\nfn greet(name: &str)"), "{new}");
    assert_eq!(renew(&new).unwrap(), new, "once is enough");
    let slice = renew("<!-- golden e11_tasks to=joining -->\n<!-- end -->\n").unwrap();
    assert!(slice.contains("creates Ada, Grace, Barbara") && !slice.contains("Hello"), "{slice}");
}
