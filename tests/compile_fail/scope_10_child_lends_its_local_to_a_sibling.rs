//~ E0597 does not live long enough
use std::cell::Cell;

pub fn escape() -> std::io::Result<()> {
    let cell: Cell<Option<&String>> = Cell::new(None);
    corio::scope(|s| {
        s.spawn(|| {
            let local = String::new();
            cell.set(Some(&local));
            corio::yield_now()
        });
        s.spawn(|| println!("{:?}", cell.get()));
        Ok(())
    })
}
