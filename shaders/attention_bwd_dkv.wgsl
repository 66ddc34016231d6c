import package::lib::grid::flat_index;
import constants::D4;

// attention_bwd_dkv: dv = sum of p * dO,  dk = scale * sum of p * (dO . v - delta) * q,  p = exp(q . k * scale - lse),
//                    over the `window` queries of the group's heads from the key's position on
//
//   q, dO      (B*S, H*D)  f32  in
//   k, v       (B*S, K*D)  f32  in
//   lse, delta (B*S, H)    f32  in
//   dk, dv     (B*S, K*D)  f32  out
//   ends       (B*S)       u32  in   PACKED: past the last query of the key's document, by its place in the row
//
// Grid: one thread per (sequence, kv head, key), keys side by side; flat. D4 = D/4 is compiled in. Four queries a round.
// Sums in f32, by head, then query, without atomics: bit-repeatable.
// Host: src/kernels/attention-direct.ts   Reference: test/ref/attention.ts

override WG: u32 = 64u;

struct Params {
  B: u32,
  S: u32,
  H: u32,
  K: u32,
  window: u32, // keys that a query sees at most, itself among them
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> dO: array<vec4f>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> dk: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> dv: array<vec4f>;
@if(PACKED) @group(0) @binding(9) var<storage, read> ends: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, grid, lane, WG);
  if (i >= params.B * params.S * params.K) { return; }
  let j = i % params.S;
  let kv = i / params.S % params.K;
  let b = i / params.S / params.K;
  let from_k = ((b * params.S + j) * params.K + kv) * D4;
  let group = params.H / params.K;
  var last = params.S - 1u;
  @if(WINDOW) last = min(params.S, j + params.window) - 1u;
  @if(PACKED) last = min(last, ends[b * params.S + j] - 1u);
  var acc_k: array<vec4f, D4>;
  var acc_v: array<vec4f, D4>;
  for (var h = kv * group; h < (kv + 1u) * group; h++) {
    for (var s = j; s <= last; s += 4u) {
      // rows of lse, and times D4 of q: the last ones are read again and masked below
      let rows = (b * params.S + min(vec4u(s, s + 1u, s + 2u, s + 3u), vec4u(last))) * params.H + h;
      let at = rows * D4;
      var score = vec4f();
      var dp = vec4f();
      for (var d = 0u; d < D4; d++) {
        let a = k[from_k + d];
        let g = v[from_k + d];
        score += vec4f(dot(a, q[at.x + d]), dot(a, q[at.y + d]), dot(a, q[at.z + d]), dot(a, q[at.w + d]));
        dp += vec4f(dot(g, dO[at.x + d]), dot(g, dO[at.y + d]), dot(g, dO[at.z + d]), dot(g, dO[at.w + d]));
      }
      let logs = vec4f(lse[rows.x], lse[rows.y], lse[rows.z], lse[rows.w]);
      let deltas = vec4f(delta[rows.x], delta[rows.y], delta[rows.z], delta[rows.w]);
      let live = vec4u(s, s + 1u, s + 2u, s + 3u) <= vec4u(last);
      let p = select(vec4f(), exp(score * params.scale - logs), live);
      let ds = p * (dp - deltas) * params.scale;
      for (var d = 0u; d < D4; d++) {
        acc_k[d] += ds.x * q[at.x + d] + ds.y * q[at.y + d] + ds.z * q[at.z + d] + ds.w * q[at.w + d];
        acc_v[d] += p.x * dO[at.x + d] + p.y * dO[at.y + d] + p.z * dO[at.z + d] + p.w * dO[at.w + d];
      }
    }
  }
  for (var d = 0u; d < D4; d++) {
    dk[from_k + d] = acc_k[d];
    dv[from_k + d] = acc_v[d];
  }
}
