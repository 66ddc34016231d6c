// Where the sequences of a batch stand in a cache. Kernels bind two tensors of the phase by their names:
//   cursor (B)        vec4u  the position of a sequence's first token, how many of its tokens count, its adapter (0 none), 0
//   pages  (B, PAGES) u32    the pages of the cache that hold its tokens, PAGE_TOKENS each, in order
import constants::PAGE_TOKENS;

// The row of the cache that holds token j of a sequence, from the page it lies in.
fn cache_row(page: u32, j: u32) -> u32 { return page * PAGE_TOKENS + j % PAGE_TOKENS; }
