//! Random numbers that are the same in every run: SplitMix64.

#[derive(Clone, Debug)]
pub struct Prng(pub u64);

impl Prng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, exclusive; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { usize::try_from(self.next() % end as u64).unwrap_or(0) }
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Changes `input` in one to four places.
pub fn mutate(random: &mut Prng, input: &[u8], tokens: &[&[u8]]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(out.len() + 1);
        match random.below(9) {
            0 if !out.is_empty() => {
                let at = random.below(out.len());
                out[at] = random.octet();
            }
            1 => out.insert(at, random.octet()),
            2 if !out.is_empty() => {
                out.remove(random.below(out.len()));
            }
            3 => {
                let token = *random.pick(tokens);
                out.splice(at..at, token.iter().copied());
            }
            4 => out.truncate(at),
            5 if !out.is_empty() => {
                // A piece of it again, somewhere else.
                let from = random.below(out.len());
                let to = (from + 1 + random.below(64)).min(out.len());
                let piece = out[from..to].to_vec();
                out.splice(at..at, piece);
            }
            6 if !out.is_empty() => {
                let from = random.below(out.len());
                let to = (from + 1 + random.below(16)).min(out.len());
                out.drain(from..to);
            }
            7 if !out.is_empty() => {
                let at = random.below(out.len());
                out[at] ^= 1 << random.below(8);
            }
            _ => {
                let token = *random.pick(tokens);
                let n = 1 + random.below(200);
                let many: Vec<u8> = token.iter().copied().cycle().take(token.len() * n).collect();
                out.splice(at..at, many);
            }
        }
    }
    out
}
