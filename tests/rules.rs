//! Which test shows which rule, and that all of them exist.
//!
//! The rules are the promises that the core is built on; each stands for a fault that a real system had.

use std::path::Path;
use std::{fs, io};

/// The rule, what it says in short, and tests that fail where it is broken.
const RULES: &[(&str, &str, &[&str])] = &[
    (
        "R1",
        "the loop owns every task's stack, users hold tickets",
        &[
            "forgotten_handles_change_nothing",
            "a16_tickets_outlive_their_loop_and_do_nothing_then",
            "what_would_be_unsound_does_not_compile",
        ],
    ),
    (
        "R2",
        "a scope ends when all its children are gone",
        &[
            "a13_r2_a_body_that_panics_waits_for_its_children_before_the_panic_goes_on",
            "a_forgotten_handles_borrowed_result_is_never_touched_again",
            "a_yield_out_of_an_open_scope_panics_after_its_children_have_ended",
            "r2_a12_a_child_that_catches_every_throw_is_named_and_ends_the_process_before_its_scope",
            "three_nested_levels_that_ignore_everything_are_unwound_at_shutdown_children_first",
        ],
    ),
    (
        "R3",
        "a run returns when every task is gone",
        &[
            "runner_02_loop_15_a14_run_inside_run_is_refused_and_the_outer_one_goes_on",
            "a12_r3_a_loop_that_catches_everything_is_named_and_ends_the_process",
        ],
    ),
    (
        "R4",
        "a stack is used again only when nothing is on it",
        &["a_lost_stack_is_never_used_again", "r4_stacks_that_were_unwound_by_force_are_used_again"],
    ),
    (
        "R5",
        "nothing switches while the thread panics",
        &[
            "r5_a_destructor_that_reads_while_its_task_panics_takes_what_is_there_and_does_not_wait_for_more",
            "r5_a_destructor_that_reads_while_its_task_is_unwound_by_force_does_not_wait",
            "a10_r5_port_06_a_destructor_that_waits_while_its_task_panics_fails_at_once_and_nobody_else_sees_the_panic",
            "r5_a_destructor_that_retries_a_refused_wait_for_ever_is_named_and_ends_the_process",
        ],
    ),
    (
        "R6",
        "a yielder works on its own stack",
        &["a_child_task_that_uses_its_parents_yielder_panics_and_the_scope_closes_normally"],
    ),
    (
        "R7",
        "no borrow of the loop's state while user code runs",
        &["r7_every_call_may_be_made_from_every_place_where_the_loop_calls_back"],
    ),
    (
        "R8",
        "every unsafe site is argued, and the holes are stated",
        &[
            "every_unsafe_is_in_the_list",
            "r8_every_unsafe_has_a_comment_that_argues_and_a_rule_or_a_reason_in_the_list",
            "r8_the_three_holes_are_stated_in_the_readme_and_in_the_book",
            "r8_no_suspend_panics_at_the_call_and_is_over_when_it_is_left",
            "r8_every_call_that_may_suspend_panics_inside_no_suspend",
            "r8_no_suspend_turns_a_lazy_initialiser_that_waits_into_a_panic",
            "r8_no_suspend_keeps_a_scoped_context_from_being_seen_by_others",
        ],
    ),
    (
        "R9",
        "every stack is guarded, and an overflow names the task",
        &[
            "a1_r9_an_overflow_names_the_task_its_id_its_place_its_stack_and_the_remedy",
            "forty_thousand_guarded_tasks_wait_at_the_same_time",
            "locked_memory_gets_protected_guards",
            "a5_a_large_frame_without_probes_cannot_step_over_the_guard",
            "a_guard_stays_when_memory_is_given_back",
        ],
    ),
    ("R10", "a cancellation is a state", &["r10_task_15_17_18_every_call_fails_until_the_code_acknowledges"]),
    (
        "R11",
        "whether a scope was cancelled is read from the scope",
        &["tg_05_a_scope_that_is_cancelled_at_its_exit_says_so", "e6_when_a_limit_and_a_cancel_meet_both_are_known"],
    ),
    (
        "R12",
        "the error survives third-party code",
        &["r12_the_error_is_none_that_third_party_code_retries", "r12_the_helpers_of_std_end_with_the_cancellation"],
    ),
    (
        "R13",
        "what has succeeded is reported",
        &[
            "c6_task_09_r13_what_has_succeeded_is_reported_and_the_cancel_met_at_the_next_wait",
            "r13_a_cancelled_read_loses_no_byte_and_a_cancelled_accept_no_client",
            "r13_a_cancelled_reader_or_writer_of_a_stream_in_memory_loses_nothing",
            "r13_a_job_that_has_ended_when_its_caller_is_cancelled_gives_its_value",
            // A grant that meets a cancel goes to the next.
            "lock_05_e2_a_grant_that_meets_a_cancel_is_had_and_given_back",
            "sem_05_sem_09_no_permit_is_lost_in_a_thousand_cancelled_waits",
            "cond_05_cond_06_e7_a_cancelled_wait_has_the_lock_and_passes_its_notification_on",
            "queue_05_queue_06_e3_a_grant_that_meets_a_cancel_neither_loses_nor_doubles",
            "e2_e3_cancellation_loses_no_value",
            "what_was_granted_to_a_task_that_is_unwound_goes_on",
        ],
    ),
    (
        "R14",
        "a cancelled call lets others run",
        &["r14_a_loop_that_ignores_cancellation_does_not_starve_the_others_and_is_named"],
    ),
    (
        "R15",
        "first in, first out; and I/O is looked at",
        &[
            "r15_what_becomes_ready_in_a_turn_runs_in_the_next",
            "d02_tasks_that_are_always_ready_starve_neither_timers_nor_sockets",
        ],
    ),
    (
        "R16",
        "names and files do not block the loop, and who does is named",
        &[
            "r16_a_name_is_looked_up_while_others_run",
            "r16_a_file_that_blocks_whoever_opens_or_reads_it_does_not_block_the_loop",
            "d1_d8_the_watchdog_names_who_blocks_the_loop_while_it_does",
        ],
    ),
    (
        "R17",
        "the kernel's faults are handled",
        &[
            "b01_a_queued_client_is_accepted_once_descriptors_are_free",
            "b03_an_interrupted_poll_waits_for_what_is_left_of_the_time",
            "b07_news_for_an_earlier_user_of_a_slot_finds_nobody",
            "f01_no_write_to_a_dead_peer_raises_sigpipe",
            "a16_a_loop_handle_of_a_loop_that_is_gone_is_an_error_on_every_thread",
        ],
    ),
    ("R18", "a deadlock ends the run with a report", &["d6_r18_tasks_that_join_each_other_end_the_run_with_a_report"]),
    (
        "R19",
        "a panic ends its task and reaches whoever joins it",
        &[
            "a7_a_panic_reaches_the_joiner_once_r19",
            "a7_task_34_a_panic_that_nobody_joins_is_logged_and_the_loop_goes_on",
        ],
    ),
];

fn sources(folder: &Path, text: &mut String) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, text)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("rules.rs") {
            text.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(())
}

#[test]
fn every_rule_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("tests"), &mut text).unwrap();
    sources(&root.join("src"), &mut text).unwrap();
    for (number, (rule, meaning, tests)) in RULES.iter().enumerate() {
        assert_eq!(*rule, format!("R{}", number + 1));
        for test in *tests {
            assert!(text.contains(&format!("fn {test}()")), "{rule} ({meaning}): there is no test {test}");
        }
    }
}
