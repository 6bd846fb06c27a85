//! Sixteen SHA-256 side by side in AVX-512 registers (FIPS 180-4, sections 5 and 6.2).
//!
//! Each of the eight words of a hash's state is a register, and so is each of the sixteen words of
//! a block: lane i belongs to message i. A message that ends before the longest one keeps its state
//! through a mask.

use super::{Hash, LANES};
use std::arch::x86_64::{
    __m512i, __mmask16, _mm_set_epi64x, _mm256_storeu_si256, _mm512_add_epi32,
    _mm512_broadcast_i32x4, _mm512_castsi512_si256, _mm512_loadu_si512, _mm512_mask_add_epi32,
    _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Bytes of a block.
const BLOCK: usize = 64;
/// What padding adds at least: a byte of 0x80 and the length in bits as u64.
const PADDING_MIN: usize = 9;
/// Truth table of a three-way exclusive or, for `vpternlogd`.
const XOR: i32 = 0x96;
/// Truth table of "choose": where a bit of the first is set that of the second, else of the third.
const CHOOSE: i32 = 0xCA;
/// Truth table of the majority.
const MAJORITY: i32 = 0xE8;

/// The first words: fractional parts of the square roots of the first eight primes.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants of the rounds: of the cube roots of the first 64 primes.
#[rustfmt::skip]
const ROUND: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Hashes up to sixteen messages. False where the processor cannot: nothing is done then.
#[allow(unsafe_code, reason = "calls code made for instructions that it has asked for")]
pub(super) fn hash_lanes(messages: &[&[u8]], hashes: &mut [Hash]) -> bool {
    if !(is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")) {
        return false;
    }
    // SAFETY: the processor has the instructions that the function is compiled for.
    unsafe { hash_all(messages, hashes) };
    true
}

/// The blocks of a message: those within it, and one or two more with its end and the padding.
struct Blocks<'m> {
    message: &'m [u8],
    within: usize,
    count: usize,
    tail: [[u8; BLOCK]; 2],
}

impl<'m> Blocks<'m> {
    fn of(message: &'m [u8]) -> Blocks<'m> {
        let (whole, rest) = message.as_chunks::<BLOCK>();
        let within = whole.len();
        let behind = if rest.len() + PADDING_MIN <= BLOCK { 1 } else { 2 };
        let mut tail = [[0; BLOCK]; 2];
        tail[0][..rest.len()].copy_from_slice(rest);
        tail[0][rest.len()] = 0x80;
        let bits = message.len() as u64 * 8;
        tail[behind - 1][BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        Blocks { message, within, count: within + behind, tail }
    }

    fn block(&self, number: usize) -> &[u8; BLOCK] {
        if number < self.within {
            &self.message.as_chunks().0[number]
        } else {
            &self.tail[number - self.within]
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn hash_all(messages: &[&[u8]], hashes: &mut [Hash]) {
    // A lane without a message works on the first one's blocks; nobody looks at what it gives.
    let all: [Blocks<'_>; LANES] =
        std::array::from_fn(|lane| Blocks::of(messages.get(lane).unwrap_or(&messages[0])));
    let longest = all.iter().map(|blocks| blocks.count).max().unwrap_or(0);
    let mut state = [_mm512_setzero_si512(); 8];
    for (word, initial) in state.iter_mut().zip(INITIAL) {
        *word = _mm512_set1_epi32(initial.cast_signed());
    }
    for number in 0..longest {
        let mut lanes: __mmask16 = 0;
        let mut words = [_mm512_setzero_si512(); LANES];
        for (lane, blocks) in all.iter().enumerate() {
            if number < blocks.count {
                lanes |= 1 << lane;
                words[lane] = load(blocks.block(number));
            }
        }
        compress(&mut state, transpose(words), lanes);
    }
    let mut words = [_mm512_setzero_si512(); LANES];
    words[..8].copy_from_slice(&state);
    for (lane, hash) in transpose(words).into_iter().zip(hashes) {
        store(big_endian(lane), hash);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code, reason = "a load takes a pointer")]
fn load(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: a block has the 64 bytes that are loaded, and the load asks for no alignment.
    big_endian(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code, reason = "a store takes a pointer")]
fn store(words: __m512i, hash: &mut Hash) {
    // SAFETY: a hash has the 32 bytes that are stored, and the store asks for no alignment.
    unsafe { _mm256_storeu_si256(hash.as_mut_ptr().cast(), _mm512_castsi512_si256(words)) }
}

/// Turns the bytes of every word around.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn big_endian(words: __m512i) -> __m512i {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(order))
}

/// Turns sixteen rows of sixteen words into columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let (mut pairs, mut fours, mut columns) = ([zero; 16], [zero; 16], [zero; 16]);
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    for i in 0..4 {
        fours[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    for i in 0..4 {
        let even_top = _mm512_shuffle_i32x4(fours[i], fours[4 + i], 0x88);
        let odd_top = _mm512_shuffle_i32x4(fours[i], fours[4 + i], 0xDD);
        let even_bottom = _mm512_shuffle_i32x4(fours[8 + i], fours[12 + i], 0x88);
        let odd_bottom = _mm512_shuffle_i32x4(fours[8 + i], fours[12 + i], 0xDD);
        columns[i] = _mm512_shuffle_i32x4(even_top, even_bottom, 0x88);
        columns[4 + i] = _mm512_shuffle_i32x4(odd_top, odd_bottom, 0x88);
        columns[8 + i] = _mm512_shuffle_i32x4(even_top, even_bottom, 0xDD);
        columns[12 + i] = _mm512_shuffle_i32x4(odd_top, odd_bottom, 0xDD);
    }
    columns
}

/// Takes one block of each message into its state, for the lanes of the mask.
#[target_feature(enable = "avx512f,avx512bw")]
fn compress(state: &mut [__m512i; 8], mut words: [__m512i; 16], lanes: __mmask16) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    // The variables stay where they are and their names turn, so that all of it stays in registers.
    macro_rules! rounds {
        ($from:expr, $i:expr) => {
            (d, h) = round([a, b, c, d, e, f, g, h], words[$i], ROUND[$from + $i]);
            (c, g) = round([h, a, b, c, d, e, f, g], words[$i + 1], ROUND[$from + $i + 1]);
            (b, f) = round([g, h, a, b, c, d, e, f], words[$i + 2], ROUND[$from + $i + 2]);
            (a, e) = round([f, g, h, a, b, c, d, e], words[$i + 3], ROUND[$from + $i + 3]);
            (h, d) = round([e, f, g, h, a, b, c, d], words[$i + 4], ROUND[$from + $i + 4]);
            (g, c) = round([d, e, f, g, h, a, b, c], words[$i + 5], ROUND[$from + $i + 5]);
            (f, b) = round([c, d, e, f, g, h, a, b], words[$i + 6], ROUND[$from + $i + 6]);
            (e, a) = round([b, c, d, e, f, g, h, a], words[$i + 7], ROUND[$from + $i + 7]);
        };
    }
    for from in [0, 16, 32, 48] {
        if from > 0 {
            extend(&mut words);
        }
        rounds!(from, 0);
        rounds!(from, 8);
    }
    for (word, worked) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = _mm512_mask_add_epi32(*word, lanes, *word, worked);
    }
}

/// The next sixteen words of the message schedule.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn extend(words: &mut [__m512i; 16]) {
    for i in 0..16 {
        let (low, high) = (words[(i + 1) % 16], words[(i + 14) % 16]);
        let low = _mm512_ternarylogic_epi32(
            _mm512_ror_epi32(low, 7),
            _mm512_ror_epi32(low, 18),
            _mm512_srli_epi32(low, 3),
            XOR,
        );
        let high = _mm512_ternarylogic_epi32(
            _mm512_ror_epi32(high, 17),
            _mm512_ror_epi32(high, 19),
            _mm512_srli_epi32(high, 10),
            XOR,
        );
        let sum = _mm512_add_epi32(words[i], words[(i + 9) % 16]);
        words[i] = _mm512_add_epi32(sum, _mm512_add_epi32(low, high));
    }
}

/// One round: what becomes of `d` and `h`; the next round calls them `e` and `a`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn round(
    [a, b, c, d, e, f, g, h]: [__m512i; 8],
    word: __m512i,
    constant: u32,
) -> (__m512i, __m512i) {
    let sum_e = _mm512_ternarylogic_epi32(
        _mm512_ror_epi32(e, 6),
        _mm512_ror_epi32(e, 11),
        _mm512_ror_epi32(e, 25),
        XOR,
    );
    let choice = _mm512_ternarylogic_epi32(e, f, g, CHOOSE);
    let keyed = _mm512_add_epi32(word, _mm512_set1_epi32(constant.cast_signed()));
    let first = _mm512_add_epi32(_mm512_add_epi32(h, keyed), _mm512_add_epi32(sum_e, choice));
    let sum_a = _mm512_ternarylogic_epi32(
        _mm512_ror_epi32(a, 2),
        _mm512_ror_epi32(a, 13),
        _mm512_ror_epi32(a, 22),
        XOR,
    );
    let second = _mm512_add_epi32(sum_a, _mm512_ternarylogic_epi32(a, b, c, MAJORITY));
    (_mm512_add_epi32(d, first), _mm512_add_epi32(first, second))
}
