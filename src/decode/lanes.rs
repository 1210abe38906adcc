//! [`Lanes`]: blocks of 64 bytes compared at once, as wide as the processor goes.
//!
//! What the processor has is asked at run time, and `pulp` keeps the answer as a value that proves it, so nothing here is unsafe. Elsewhere
//! than on x86-64, and on its oldest processors, [`Lanes::Narrow`] compares sixteen bytes at a time and has no tables.

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use wide::u8x16;

/// How many bytes [`Lookup::hits`] reads: 64 places and the three bytes behind the last one.
pub(crate) const WINDOW: usize = 64 + 3;

/// The widest comparisons that this processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lanes {
    /// AVX-512: 64 bytes.
    #[cfg(target_arch = "x86_64")]
    V4(V4),
    /// AVX2: 32 bytes.
    #[cfg(target_arch = "x86_64")]
    V3(V3),
    /// 16 bytes, on every processor.
    Narrow,
}

/// What is done with blocks, compiled for each width: its `run` has to be `#[inline(always)]`.
pub(crate) trait WithBlocks {
    type Output;
    fn run<B: Block>(self, block: B) -> Self::Output;
}

/// The same for work that looks bytes up.
pub(crate) trait WithTables {
    type Output;
    fn run<B: Lookup>(self, block: B) -> Self::Output;
}

/// Comparisons within 64 bytes; bit `n` of an answer is about byte `n`.
pub(crate) trait Block: Copy {
    /// A bit for every quote, backslash and control character, and a bit for every byte beyond ASCII.
    fn specials(self, bytes: &[u8; 64]) -> (u64, u64);
}

/// Look-ups by half a byte.
pub(crate) trait Lookup: Copy {
    /// Sixteen bytes where look-ups find them.
    type Table: Copy;

    fn table(self, bytes: &[u8; 16]) -> Self::Table;

    /// A bit for every place from which four bytes on have a bit in common: each in the table of its lower half and in that of its upper
    /// half, for which there is a pair of tables a byte. Bytes beyond ASCII have none.
    fn hits(self, tables: &[[Self::Table; 2]; 4], window: &[u8; WINDOW]) -> u64;
}

impl Lanes {
    /// Asks the processor.
    pub fn detect() -> Lanes {
        #[cfg(target_arch = "x86_64")]
        if let Some(v4) = V4::try_new() {
            return Lanes::V4(v4);
        } else if let Some(v3) = V3::try_new() {
            return Lanes::V3(v3);
        }
        Lanes::Narrow
    }

    /// Every width that this processor has.
    #[cfg(test)]
    pub fn all() -> Vec<Lanes> {
        let mut all = vec![Lanes::Narrow];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(V3::try_new().map(Lanes::V3));
            all.extend(V4::try_new().map(Lanes::V4));
        }
        all
    }

    #[inline(always)]
    pub fn run<W: WithBlocks>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Lanes::V4(v4) => v4.vectorize(On(v4, work, Blocks)),
            #[cfg(target_arch = "x86_64")]
            Lanes::V3(v3) => v3.vectorize(On(v3, work, Blocks)),
            Lanes::Narrow => work.run(Sixteen),
        }
    }

    /// `None` where there are no tables.
    #[inline(always)]
    pub fn look_up<W: WithTables>(self, work: W) -> Option<W::Output> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Lanes::V4(v4) => Some(v4.vectorize(On(v4, work, Tables))),
            #[cfg(target_arch = "x86_64")]
            Lanes::V3(v3) => Some(v3.vectorize(On(v3, work, Tables))),
            Lanes::Narrow => {
                drop(work);
                None
            }
        }
    }
}

/// Work on its way to a width: what is called there has to be inlined there, which a closure does not promise.
#[cfg(target_arch = "x86_64")]
struct On<B, W, K>(B, W, K);
#[cfg(target_arch = "x86_64")]
struct Blocks;
#[cfg(target_arch = "x86_64")]
struct Tables;

#[cfg(target_arch = "x86_64")]
impl<B: Block, W: WithBlocks> pulp::NullaryFnOnce for On<B, W, Blocks> {
    type Output = W::Output;
    #[inline(always)]
    fn call(self) -> W::Output {
        self.1.run(self.0)
    }
}

#[cfg(target_arch = "x86_64")]
impl<B: Lookup, W: WithTables> pulp::NullaryFnOnce for On<B, W, Tables> {
    type Output = W::Output;
    #[inline(always)]
    fn call(self) -> W::Output {
        self.1.run(self.0)
    }
}

// No closures where instructions of one width are named: one that is not inlined is compiled for every processor, and calls a function for
// each of them.

#[cfg(target_arch = "x86_64")]
impl Block for V4 {
    #[inline(always)]
    fn specials(self, bytes: &[u8; 64]) -> (u64, u64) {
        let (all, bw) = (self.avx512f, self.avx512bw);
        let bytes = pulp::cast(*bytes);
        let quotes = bw._mm512_cmpeq_epi8_mask(bytes, all._mm512_set1_epi8(b'"' as i8));
        let backslashes = bw._mm512_cmpeq_epi8_mask(bytes, all._mm512_set1_epi8(b'\\' as i8));
        let control = bw._mm512_cmplt_epu8_mask(bytes, all._mm512_set1_epi8(b' ' as i8));
        (quotes | backslashes | control, bw._mm512_movepi8_mask(bytes))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lookup for V4 {
    type Table = std::arch::x86_64::__m512i;

    #[inline(always)]
    fn table(self, bytes: &[u8; 16]) -> Self::Table {
        self.avx512f._mm512_broadcast_i32x4(pulp::cast(*bytes))
    }

    #[inline(always)]
    fn hits(self, tables: &[[Self::Table; 2]; 4], window: &[u8; WINDOW]) -> u64 {
        let (all, bw) = (self.avx512f, self.avx512bw);
        let mut common = all._mm512_set1_epi8(-1);
        for (from, [low, high]) in tables.iter().enumerate() {
            let Some(bytes) = window[from..].first_chunk::<64>() else { break };
            let bytes = pulp::cast(*bytes);
            let upper = all._mm512_and_si512(bw._mm512_srli_epi16::<4>(bytes), all._mm512_set1_epi8(0x0f));
            let found = all._mm512_and_si512(bw._mm512_shuffle_epi8(*low, bytes), bw._mm512_shuffle_epi8(*high, upper));
            common = all._mm512_and_si512(common, found);
        }
        bw._mm512_test_epi8_mask(common, common)
    }
}

#[cfg(target_arch = "x86_64")]
impl Block for V3 {
    #[inline(always)]
    fn specials(self, bytes: &[u8; 64]) -> (u64, u64) {
        let [low, high]: [[u8; 32]; 2] = pulp::cast(*bytes);
        let ((low, low_beyond), (high, high_beyond)) = (specials_of_half(self, low), specials_of_half(self, high));
        (low | high << 32, low_beyond | high_beyond << 32)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn specials_of_half(v3: V3, bytes: [u8; 32]) -> (u64, u64) {
    let (avx, avx2) = (v3.avx, v3.avx2);
    let bytes = pulp::cast(bytes);
    let quotes = avx2._mm256_cmpeq_epi8(bytes, avx._mm256_set1_epi8(b'"' as i8));
    let backslashes = avx2._mm256_cmpeq_epi8(bytes, avx._mm256_set1_epi8(b'\\' as i8));
    let last = avx._mm256_set1_epi8(b' ' as i8 - 1);
    let control = avx2._mm256_cmpeq_epi8(avx2._mm256_max_epu8(bytes, last), last);
    let specials = avx2._mm256_or_si256(avx2._mm256_or_si256(quotes, backslashes), control);
    (u64::from(avx2._mm256_movemask_epi8(specials) as u32), u64::from(avx2._mm256_movemask_epi8(bytes) as u32))
}

#[cfg(target_arch = "x86_64")]
impl Lookup for V3 {
    type Table = std::arch::x86_64::__m256i;

    #[inline(always)]
    fn table(self, bytes: &[u8; 16]) -> Self::Table {
        self.avx2._mm256_broadcastsi128_si256(pulp::cast(*bytes))
    }

    #[inline(always)]
    fn hits(self, tables: &[[Self::Table; 2]; 4], window: &[u8; WINDOW]) -> u64 {
        hits_of_half(self, tables, window, 0) | hits_of_half(self, tables, window, 32) << 32
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn hits_of_half(v3: V3, tables: &[[std::arch::x86_64::__m256i; 2]; 4], window: &[u8; WINDOW], half: usize) -> u64 {
    let (avx, avx2) = (v3.avx, v3.avx2);
    let mut common = avx._mm256_set1_epi8(-1);
    for (from, [low, high]) in tables.iter().enumerate() {
        let Some(bytes) = window[half + from..].first_chunk::<32>() else { break };
        let bytes = pulp::cast(*bytes);
        let upper = avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(bytes), avx._mm256_set1_epi8(0x0f));
        let found = avx2._mm256_and_si256(avx2._mm256_shuffle_epi8(*low, bytes), avx2._mm256_shuffle_epi8(*high, upper));
        common = avx2._mm256_and_si256(common, found);
    }
    let none = avx2._mm256_cmpeq_epi8(common, avx._mm256_setzero_si256());
    u64::from(!(avx2._mm256_movemask_epi8(none) as u32))
}

/// Sixteen bytes at a time.
#[derive(Clone, Copy)]
struct Sixteen;

impl Block for Sixteen {
    #[inline(always)]
    fn specials(self, bytes: &[u8; 64]) -> (u64, u64) {
        let specials = |bytes: [u8; 16]| {
            let bytes = u8x16::new(bytes);
            let visible = bytes.max(u8x16::splat(b' ')).simd_eq(bytes);
            let marks = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
            [marks | !visible, bytes].map(|bytes| u64::from(bytes.to_bitmask() as u16))
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|lane| specials(bytes.as_chunks::<16>().0[lane]));
        (a[0] | b[0] << 16 | c[0] << 32 | d[0] << 48, a[1] | b[1] << 16 | c[1] << 32 | d[1] << 48)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place of a block.
    fn blocks() -> impl Iterator<Item = [u8; 64]> {
        (0..=255u8).flat_map(|byte| (0..64).map(move |at| std::array::from_fn(|place| if place == at { byte } else { b'x' })))
    }

    #[test]
    fn every_width_sees_the_same_specials() {
        struct Specials([u8; 64]);
        impl WithBlocks for Specials {
            type Output = (u64, u64);
            #[inline(always)]
            fn run<B: Block>(self, block: B) -> (u64, u64) {
                block.specials(&self.0)
            }
        }
        for block in blocks() {
            let bits = |is: fn(u8) -> bool| (0..64).filter(|at| is(block[*at])).fold(0, |bits, at| bits | 1 << at);
            let expected = (bits(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)), bits(|byte| byte >= 0x80));
            for lanes in Lanes::all() {
                assert_eq!(lanes.run(Specials(block)), expected, "{lanes:?} of {block:?}");
            }
        }
    }

    #[test]
    fn every_width_finds_the_same_hits() {
        struct Hits<'a>(&'a [[[u8; 16]; 2]; 4], [u8; WINDOW]);
        impl WithTables for Hits<'_> {
            type Output = u64;
            #[inline(always)]
            fn run<B: Lookup>(self, block: B) -> u64 {
                block.hits(&self.0.map(|pair| pair.map(|table| block.table(&table))), &self.1)
            }
        }
        // Any tables will do; these have bits at some halves of bytes and not at others.
        let tables: [[[u8; 16]; 2]; 4] = std::array::from_fn(|byte| {
            std::array::from_fn(|half| std::array::from_fn(|at| 0x9E37_79B9u32.rotate_left((7 * byte + 3 * half + at) as u32) as u8))
        });
        let mut some = 0;
        for seed in 0..2000u64 {
            // Mostly ASCII: four bytes in a row have to be.
            let window: [u8; WINDOW] = std::array::from_fn(|at| {
                let mixed = (seed * 71 + at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> if seed % 4 == 0 { 56 } else { 57 }) as u8
            });
            let bits = |byte: usize, value: u8| {
                if value < 0x80 { tables[byte][0][usize::from(value & 15)] & tables[byte][1][usize::from(value >> 4)] } else { 0 }
            };
            let has = |at: &usize| (0..4).fold(0xff, |common, byte| common & bits(byte, window[at + byte])) != 0;
            let expected = (0..64).filter(has).fold(0, |hits, at| hits | 1u64 << at);
            some += expected.count_ones();
            for lanes in Lanes::all() {
                if let Some(found) = lanes.look_up(Hits(&tables, window)) {
                    assert_eq!(found, expected, "{lanes:?} of {window:?}");
                }
            }
        }
        assert!((1000..64_000).contains(&some), "{some}");
    }
}
