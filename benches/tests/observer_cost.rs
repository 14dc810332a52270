//! The section on what it costs to be watched shows what was measured. `BLESS=1 cargo test -p corio-benches` renders it again.

use corio_benches::comparison::render::differs;
use corio_benches::observer_cost::render;

#[test]
fn the_section_is_rendered_from_the_data() {
    let files = render::files().unwrap();
    let stale: Vec<_> = files.iter().filter_map(|(path, new)| differs(path, new)).collect();
    assert!(stale.is_empty(), "{}\nBLESS=1 rewrites what is old", stale.join("\n"));
}
