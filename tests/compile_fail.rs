//! What the type system must refuse: the files of `compile_fail/`, each of which says in its first line how.
//!
//! `//~ E0597 does not live long enough` is the error's code, or `-` if it has none, and a phrase of the message;
//! `//~ compiles` is a control, so that the others do not fail for a reason that nobody meant. In a file of several cases
//! each line that ends with `//~` must be refused, and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

/// What the compiler says about a file, and whether it took it.
fn compile(file: &Path, library: &Path) -> (bool, String) {
    let deps = library.parent().expect("the directory of the library");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata"]);
    rustc.arg("--extern").arg(format!("corio={}", library.display()));
    rustc.arg("-L").arg(format!("dependency={}", deps.display()));
    rustc.arg("--out-dir").arg(env!("CARGO_TARGET_TMPDIR")).arg(file);
    let output = rustc.output().unwrap_or_else(|error| panic!("{rustc:?}: {error}"));
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The library that this test was built with: it lies beside it. Of several, left by builds with other features, the
/// newest that the control compiles with.
fn library(control: &Path) -> PathBuf {
    let deps = env::current_exe().expect("the path of this program");
    let deps = deps.parent().expect("the directory of this program");
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libcorio-") && name.ends_with(".rlib")
    };
    let entries = fs::read_dir(deps).expect("the directory of this program");
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_library).collect();
    found.sort_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    let mut complaint = format!("no library in {}", deps.display());
    for library in found.into_iter().rev() {
        match compile(control, &library) {
            (true, _) => return library,
            (false, said) => complaint = said,
        }
    }
    panic!("the control does not compile: {complaint}");
}

/// What is wrong with a file, if anything.
fn check(file: &Path, library: &Path) -> Option<String> {
    let text = fs::read_to_string(file).expect("a file of the directory");
    let wanted =
        text.lines().next().and_then(|line| line.strip_prefix("//~ ")).expect("a first line that begins with //~");
    let (compiled, said) = compile(file, library);
    let complain = |what: &str| Some(format!("{}: {what}\n{said}", file.display()));
    let Some((code, phrase)) = wanted.split_once(' ') else {
        return if compiled { None } else { complain("does not compile") };
    };
    if compiled {
        return complain("compiles");
    }
    // Other errors than the wanted one would mean that the file fails for a reason of its own.
    let coded: Vec<&str> = said.lines().filter(|line| line.starts_with("error[")).collect();
    let code = format!("error[{code}]");
    let as_wanted = coded.iter().all(|line| line.starts_with(&code)) && coded.is_empty() == (code == "error[-]");
    if !as_wanted || !said.contains(phrase) {
        return complain(&format!("wanted {wanted}"));
    }
    let marked: BTreeSet<usize> =
        (1..).zip(text.lines()).filter(|(_, line)| line.ends_with("//~")).map(|(number, _)| number).collect();
    if !marked.is_empty() && marked != refused(&said, &code) {
        return complain(&format!("wanted errors in these lines and no others: {marked:?}"));
    }
    None
}

/// The lines in which the compiler found errors of this code.
fn refused(said: &str, code: &str) -> BTreeSet<usize> {
    let mut lines = said.lines();
    let mut found = BTreeSet::new();
    while lines.any(|line| line.starts_with(code)) {
        let place = lines.find_map(|line| line.trim_start().strip_prefix("--> "));
        found.extend(place.and_then(|place| place.rsplit(':').nth(1)?.parse::<usize>().ok()));
    }
    found
}

/// RUNNER-10: a body that is none. PORT-08: a cancellation that is ignored. PORT-09: a handle on another thread.
/// STREAM-12: a second read while one waits.
#[test]
fn what_would_be_unsound_does_not_compile() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let library = library(&directory.join("control.rs"));
    let entries = fs::read_dir(&directory).expect("the directory of cases");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a case").path()).collect();
    files.sort();
    assert!(files.len() > 20, "only {} cases", files.len());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let complaints: Vec<String> = thread::scope(|s| {
        let check = |part: Vec<&PathBuf>| part.into_iter().filter_map(|file| check(file, &library)).collect::<Vec<_>>();
        let parts = (0..threads).map(|n| files.iter().skip(n).step_by(threads).collect::<Vec<_>>());
        let running: Vec<_> = parts.map(|part| s.spawn(move || check(part))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a check")).collect()
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
