//! Refunds that fail after some of what they aimed at had ended unused: what was excused is no credit to give
//! back, what was clawed is (semantics §6).

use super::refunds::{CATALOG, bought, numbers, refund};
use crate::world::{World, scenarios};

/// Of 1000 credits for 100.00, 300 are used, 400 taken back by a refund of 40.00, 300 end unused; then the
/// other 60.00 are refunded.
async fn refunded_around_the_end(world: &mut World) {
    bought(world, "pi_1", "brief", "300").await;
    // 1000 × 40 / 100
    assert_eq!(world.stripe(&refund("evt_r1", "re_1", "pi_1", 4000, "succeeded")).await, "applied");
    world.tick("2026-02-01T00:00:00Z").await;
    assert_eq!(world.stripe(&refund("evt_r2", "re_2", "pi_1", 6000, "succeeded")).await, "applied");
    // 1000 − 400 taken − 300 that ended: 300 were used.
    assert_eq!(world.entries("u").await, ["purchased 1000", "used 300", "clawed_back 400", "expired 300", "debt_incurred 300"]);
    assert_eq!(numbers(world).await, ["0", "0", "300"]);
}

scenarios! { CATALOG;
    async fn a_refund_that_was_excused_in_part_gives_nothing_more_back(world) {
        refunded_around_the_end(world).await;
        // Of 1000 aimed at 400 stay: 300 are not owed any more, 300 are not excused any more.
        assert_eq!(world.stripe(&refund("evt_r3", "re_2", "pi_1", 6000, "failed")).await, "applied");
        assert_eq!(world.entries_after("u", 5).await, ["debt_cancelled -300"]);
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        // The 400 that were taken come back, and end as the others did.
        assert_eq!(world.stripe(&refund("evt_r4", "re_1", "pi_1", 4000, "failed")).await, "applied");
        assert_eq!(world.entries_after("u", 6).await, ["returned 400", "expired 400"]);
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert_eq!(world.heard("u", "purchase.refunded", "target").await, ["400", "1000", "400", "0"]);
        assert_eq!(world.heard("u", "purchase.refunded", "taken").await, ["400", "400", "400", "0"]);
        assert_eq!(world.heard("u", "purchase.refunded", "shortfall").await, ["0", "300", "0", "0"]);
    }

    async fn whichever_refund_fails_first_what_was_taken_comes_back_last(world) {
        refunded_around_the_end(world).await;
        // Of 1000 aimed at 600 stay: 300 are not owed any more, 100 of 300 are not excused any more.
        assert_eq!(world.stripe(&refund("evt_r3", "re_1", "pi_1", 4000, "failed")).await, "applied");
        assert_eq!(world.entries_after("u", 5).await, ["debt_cancelled -300"]);
        // The other 200 of those, and the 400 that were taken.
        assert_eq!(world.stripe(&refund("evt_r4", "re_2", "pi_1", 6000, "failed")).await, "applied");
        assert_eq!(world.entries_after("u", 6).await, ["returned 400", "expired 400"]);
        assert_eq!(numbers(world).await, ["0", "0", "0"]);
        assert_eq!(world.heard("u", "purchase.refunded", "taken").await, ["400", "400", "400", "0"]);
    }

    async fn what_is_excused_no_more_can_be_excused_again(world) {
        refunded_around_the_end(world).await;
        assert_eq!(world.stripe(&refund("evt_r3", "re_2", "pi_1", 6000, "failed")).await, "applied");
        // Another 60.00: 300 that ended and 300 that were used, as before.
        assert_eq!(world.stripe(&refund("evt_r4", "re_3", "pi_1", 6000, "succeeded")).await, "applied");
        assert_eq!(world.entries_after("u", 6).await, ["debt_incurred 300"]);
        assert_eq!(numbers(world).await, ["0", "0", "300"]);
    }
}
