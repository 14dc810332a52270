//! How long requests take: counts, in buckets that grow with the value.

/// 128 buckets for each power of two, so that a value read back is less than one per cent too large. Up to 127 exact.
const BITS: u32 = 7;
const BUCKETS: usize = 1 << BITS;

/// Counts of durations in nanoseconds.
#[derive(Debug)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; bucket(u64::MAX) + 1] }
    }
}

impl Histogram {
    /// Counts one more.
    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
    }

    /// The duration that this share of them does not exceed; 0 if there is none.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.counts.iter().sum::<u64>() as f64).ceil() as u64;
        let mut counted = 0;
        let reached = self.counts.iter().position(|count| {
            counted += count;
            counted >= rank && counted > 0
        });
        reached.map_or(0.0, |bucket| largest(bucket) as f64)
    }
}

/// The leading `BITS` + 1 bits tell which.
fn bucket(ns: u64) -> usize {
    let shift = ns.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    shift as usize * BUCKETS + (ns >> shift) as usize
}

/// The largest value that falls into it.
fn largest(bucket: usize) -> u64 {
    let shift = (bucket / BUCKETS).saturating_sub(1);
    let leading = (bucket - shift * BUCKETS) as u64;
    (leading << shift) + ((1 << shift) - 1)
}
