//! The chapter that compares two ways to pause shows what was measured. `BLESS=1 cargo test -p corio-benches` renders it again.

use corio_benches::comparison::render;

#[test]
fn the_chapter_and_its_plots_are_rendered_from_the_data() {
    let files = render::files().unwrap();
    let stale: Vec<_> = files.iter().filter_map(|(path, new)| render::differs(path, new)).collect();
    assert!(stale.is_empty(), "{}\nBLESS=1 rewrites what is old", stale.join("\n"));
}
