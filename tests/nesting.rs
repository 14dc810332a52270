//! Regions inside regions: what a cancellation reaches.

use std::cell::Cell;
use std::io;

use corio::{Runner, is_cancelled, scope, secs, shield, sleep, timeout, yield_now};

fn simulated<T>(body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().run(body)
}

/// R2, R10: the owner waits for the children of an inner scope when a child of the outer one fails.
#[test]
fn a_failure_in_the_outer_scope_ends_the_children_of_the_inner_one() {
    let cancelled_at = Cell::new(None);
    let result = simulated(|| {
        let start = corio::now();
        let result: io::Result<()> = scope(|outer| {
            outer.spawn(|| {
                sleep(secs(1))?;
                Err::<(), _>(io::Error::other("the outer child"))
            });
            scope(|inner| {
                inner.spawn(|| {
                    let end = sleep(secs(3600));
                    cancelled_at.set(Some((corio::now() - start).as_secs()));
                    end
                });
                Ok(())
            })
        });
        assert_eq!(corio::now() - start, secs(1));
        result
    });
    assert_eq!(result.unwrap_err().to_string(), "the outer child");
    assert_eq!(cancelled_at.get(), Some(1));
}

/// R10: what lies inside a shield is not reached, what lies around it is.
#[test]
fn a_shield_protects_the_scopes_inside_it_only() {
    let (inside, around) = (Cell::new(false), Cell::new(false));
    let result = simulated(|| {
        timeout(secs(1), || {
            scope(|s| {
                s.spawn(|| sleep(secs(5)).inspect_err(|e| around.set(is_cancelled(e))));
                shield(secs(60), || {
                    scope(|s| {
                        s.spawn(|| {
                            sleep(secs(5))?;
                            inside.set(true);
                            Ok(())
                        });
                        Ok(())
                    })
                })?;
                yield_now()
            })
        })
    });
    assert!(corio::is_timed_out(&result.unwrap_err()));
    assert!(inside.get() && around.get());
}
