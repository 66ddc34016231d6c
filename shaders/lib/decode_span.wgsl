// The keys that a query at the end of a cache sees, and the part of them that is one workgroup's.
import constants::{ CHUNK, SPLITS };

// The first key that query s sees of `window`, at a multiple of four: a page holds all keys of a four.
fn span_start(s: u32, window: u32) -> u32 { return (max(s + 1u, window) - window) & ~3u; }

// Keys of a part, in whole chunks: SPLITS of them cover all from `start` to s.
fn span_part(start: u32, s: u32) -> u32 { return ((s - start) / (SPLITS * CHUNK) + 1u) * CHUNK; }
